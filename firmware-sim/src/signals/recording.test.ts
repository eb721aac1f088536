import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lastTimeUs, parseTimeUs, type RecordedRow, readRecording } from './recording.ts'
import { collect } from './test-collect.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'recording-'))
})
afterAll(() => rm(folder, { recursive: true }))

let files = 0
async function rows(text: string): Promise<RecordedRow[]> {
  const path = join(folder, `${files++}.csv`)
  await writeFile(path, text)
  return collect(readRecording(path))
}

describe('a recording', () => {
  it('reads the times of the benchmark as UTC', async () => {
    expect(await rows('timestamp,value\n2013-12-02 21:15:00,73.96732207\n')).toEqual([
      { tsUs: Date.UTC(2013, 11, 2, 21, 15) * 1000, values: [{ metric: 'value', value: 73.96732207 }], columns: 1 },
    ])
  })

  it('reads several columns, booleans, empty cells, semicolons, CRLF, a byte order mark and a last line without end', async () => {
    const text = '\uFEFFdatetime;a;b c;on\r\n2020-03-09 10:14:33;1e-3;;true\r\n\r\n2020-03-09 10:14:34;-.5;+2;false'
    expect((await rows(text)).map(row => row.values.map(v => [v.metric, v.value]))).toEqual([
      [
        ['a', 0.001],
        ['on', true],
      ],
      [
        ['a', -0.5],
        ['b c', 2],
        ['on', false],
      ],
    ])
  })

  it.each([
    [
      'timestamp,value\n2013-12-02 21:15:00,1\n2013-12-02 21:20:00,oops\n',
      ':3: "oops" in column value is not a number',
    ],
    ['timestamp,value\n2013-12-02 21:15:00,1,2\n', ':2: 3 cells where the header has 2 columns'],
    ['timestamp,value\n2013-12-02 21:15:00\n', ':2: 1 cells'],
    ['timestamp,value\n\n02/12/2013,1\n', ':3: "02/12/2013" is not a time'],
    ['timestamp,value\n2013-02-30 00:00:00,1\n', ':2: "2013-02-30 00:00:00" is not a time'],
    ['timestamp,value\n2013-12-02 21:15:00,NaN\n', ':2: "NaN"'],
    ['timestamp,value\n2013-12-02 21:15:00,0x10\n', ':2: "0x10"'],
    ['value,timestamp\n', ':1: the header must be'],
    ['timestamp\n', ':1: the header must be'],
    ['timestamp,a,a\n', ':1: the column "a" appears twice'],
    ['timestamp,a,\n', ':1: a column has no name'],
    ['', ':1: the file is empty'],
    [`timestamp,value\n${'x'.repeat(200_000)}`, ':2: the line is longer than 65536 characters'],
  ])('names file and line of what it cannot read: %#', async (text, message) => {
    await expect(rows(text)).rejects.toMatchObject({ code: 'malformed', message: expect.stringContaining(message) })
  })

  it('says when there is no such file', async () => {
    await expect(collect(readRecording(join(folder, 'none.csv')))).rejects.toMatchObject({ code: 'not-found' })
    await expect(collect(readRecording(folder))).rejects.toMatchObject({ code: 'storage' })
  })

  it('finds the last time even when the rows are not sorted', async () => {
    await rows('timestamp,value\n100,1\n300,2\n200,3\n')
    expect(await lastTimeUs(join(folder, `${files - 1}.csv`))).toBe(300e6)
    await rows('timestamp,value\n')
    expect(await lastTimeUs(join(folder, `${files - 1}.csv`))).toBeNull()
  })

  it('hands out rows while the file is still being read', async () => {
    const path = join(folder, 'long.csv')
    await writeFile(path, `timestamp,value\n${'2013-12-02 21:15:00,1\n'.repeat(50_000)}broken`)
    let seen = 0
    await expect(
      (async () => {
        for await (const _ of readRecording(path)) seen++
      })(),
    ).rejects.toMatchObject({ message: expect.stringContaining(':50002:') })
    expect(seen).toBe(50_000)
  })
})

describe('a time', () => {
  it.each([
    ['1700000000', 1_700_000_000_000_000],
    ['1700000000.25', 1_700_000_000_250_000],
    ['1700000000123', 1_700_000_000_123_000],
    ['1700000000123456', 1_700_000_000_123_456],
    ['1700000000123456000', 1_700_000_000_123_456],
    ['2023-11-14T22:13:20Z', 1_700_000_000_000_000],
    ['2023-11-14T23:13:20.123456+01:00', 1_700_000_000_123_456],
    ['2023-11-14 22:13:20.1234567', 1_700_000_000_123_456],
    ['2023-11-14 22:13', 1_699_999_980_000_000],
  ])('%s', (text, tsUs) => {
    expect(parseTimeUs(text)).toBe(tsUs)
  })

  it('is nothing else', () => {
    for (const text of ['', 'now', '-1', '2023-13-01 00:00', '2023-11-14', '2023-11-14 25:00'])
      expect(parseTimeUs(text)).toBeNull()
  })
})
