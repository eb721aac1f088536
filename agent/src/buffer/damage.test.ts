import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Buffer } from './buffer.ts'
import { BufferFile } from './buffer-file.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { changed } from './counters.ts'
import { decodeRow, encodeRow } from './row-codec.ts'
import { salvage } from './salvage.ts'
import { type BufferOptions, openBuffer } from './sqlite-buffer.ts'

let folder: string
let notices: string[]
const opened: Buffer[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-damage-'))
  notices = []
})
afterEach(async () => {
  for (const buffer of opened.splice(0)) await buffer.close()
  await rm(folder, { recursive: true, force: true })
})

async function open(more: Partial<BufferOptions> = {}): Promise<Buffer> {
  const notify = (notice: string) => notices.push(notice)
  const buffer = await openBuffer({
    folder,
    worker: false,
    ballastBytes: 0,
    agentId: () => 'ag-a',
    notify,
    windowMs: 0,
    ...more,
  })
  opened.push(buffer)
  return buffer
}

async function shut(buffer: Buffer): Promise<void> {
  opened.splice(opened.indexOf(buffer), 1)
  await buffer.close()
}

/** Readings numbered by their time, `perCommit` in each row. */
async function fill(buffer: Buffer, from: number, to: number, perCommit = 10): Promise<void> {
  for (let tsUs = from; tsUs < to; tsUs += perCommit) {
    const readings = Array.from({ length: perCommit }, (_, index) =>
      reading(`d${index}`, tsUs + index, Math.sin(tsUs + index)),
    )
    await accept(buffer, message(readings))
  }
}

async function drain(buffer: Buffer): Promise<number[]> {
  const times: number[] = []
  for (let batch = await buffer.seal(500, 'live'); batch; batch = await buffer.seal(500, 'live')) {
    times.push(...contents(batch.body).map(([, tsUs]) => tsUs))
  }
  return times.sort((a, b) => a - b)
}

/** A copy of the folder as a kill −9 at this moment would leave it. */
function snapshot(): Map<string, Uint8Array> {
  const names = readdirSync(folder).filter(name => statSync(join(folder, name)).isFile() && name !== 'lock.db')
  return new Map(names.map(name => [name, readFileSync(join(folder, name))]))
}

function restore(files: Map<string, Uint8Array>): void {
  rmSync(folder, { recursive: true })
  folder = mkdtempSync(join(tmpdir(), 'tributary-damage-'))
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
}

function flip(name: string, at: number, length = 1): void {
  const path = join(folder, name)
  const bytes = readFileSync(path)
  for (let index = at; index < at + length && index < bytes.length; index++) bytes[index] = (bytes[index] ?? 0) ^ 0xff
  writeFileSync(path, bytes)
}

/** Every reading is there or counted as lost, and nothing twice. */
async function expectAccounted(buffer: Buffer, sent: number): Promise<{ found: number[]; lost: number }> {
  const found = await drain(buffer)
  const { counters, losses } = await buffer.stats()
  expect(new Set(found).size).toBe(found.length)
  expect(lawHolds(counters)).toBe(true)
  const lost = losses.reduce((sum, loss) => sum + loss.readings, 0)
  expect(lost).toBe(counters.evicted)
  expect(found.length + lost).toBeGreaterThanOrEqual(sent)
  return { found, lost }
}

describe('the last file', () => {
  test('a killed process loses nothing, and no loss is reported', async () => {
    const buffer = await open()
    await fill(buffer, 0, 500)
    const files = snapshot()
    await shut(buffer)
    restore(files)
    const { found, lost } = await expectAccounted(await open(), 500)
    expect(found).toHaveLength(500)
    expect(lost).toBe(0)
    expect(notices).toEqual([])
  })

  test('a deleted write-ahead log is a missing tail in the ledger', async () => {
    const first = await open()
    await fill(first, 0, 100)
    await shut(first)
    const buffer = await open()
    await fill(buffer, 100, 300)
    const files = snapshot()
    await shut(buffer)
    restore(files)
    rmSync(join(folder, '000001.db-wal'))
    const again = await open()
    const { found, lost } = await expectAccounted(again, 300)
    expect(found).toHaveLength(100)
    expect(lost).toBe(200)
    expect((await again.stats()).losses).toMatchObject([
      { epoch: again.epoch, fromSeq: 1, toSeq: 1, exact: false, reason: 'missing' },
    ])
    await fill(again, 1000, 1010)
    await shut(again)
    const later = await open()
    expect((await later.stats()).counters).toMatchObject({ accepted: 310, evicted: 200 })
    expect((await later.stats()).losses).toHaveLength(1)
  })

  test('batches sealed in a lost log are missing, their readings sealed again', async () => {
    const first = await open()
    await fill(first, 0, 100)
    await shut(first)
    const buffer = await open()
    await buffer.seal(60, 'live')
    const files = snapshot()
    await shut(buffer)
    restore(files)
    rmSync(join(folder, '000001.db-wal'))
    const again = await open()
    expect(await again.pending(1000)).toEqual([])
    expect(await drain(again)).toHaveLength(100)
    const { losses, counters } = await again.stats()
    expect(losses).toMatchObject([{ epoch: buffer.epoch, fromSeq: 1, toSeq: 1, readings: 0 }])
    expect(counters.maybeDuplicate).toBe(60)
  })

  test('a torn frame of the log costs the rows in it only', async () => {
    const buffer = await open()
    await fill(buffer, 0, 300)
    const files = snapshot()
    await shut(buffer)
    restore(files)
    flip('000001.db-wal', Math.floor(statSync(join(folder, '000001.db-wal')).size * 0.6), 400)
    const { found } = await expectAccounted(await open(), 300)
    expect(found.length).toBeGreaterThanOrEqual(270)
  })

  test.each([
    ['the header', 0, 100],
    ['the schema', 150, 700],
    ['a page in the middle', 20_000, 1024],
    ['one byte', 30_500, 1],
  ])('damage to %s is repaired at the next start, unattended', async (_what, at, length) => {
    const buffer = await open()
    await fill(buffer, 0, 4000)
    await accept(
      buffer,
      message([], {
        deadLetter: { source: 's', origin: 'o', reason: 'r', payload: new Uint8Array(9), receivedAtUs: 1 },
      }),
    )
    const sealed = await buffer.seal(100, 'live')
    await shut(buffer)
    flip('000001.db', at, length)
    const again = await open()
    const pending = await again.pending(1000)
    const { found, lost } = await expectAccounted(again, pending.length > 0 ? 3900 : 4000)
    expect(found.length).toBeGreaterThan(3000)
    expect(found.length + lost).toBe(pending.length > 0 ? 3900 : 4000)
    if (pending.length > 0) expect(pending[0]?.body).toEqual(sealed?.body)
    expect(notices.length).toBeGreaterThan(0)
    expect(readdirSync(join(folder, 'quarantine'))).toHaveLength(1)
    await shut(again)
    notices = []
    const third = await open()
    expect((await third.stats()).counters.accepted).toBe(4001)
    expect(notices).toEqual([])
  })

  test('a file cut off at any length opens, and what is missing is counted', async () => {
    const buffer = await open()
    await fill(buffer, 0, 2000)
    await shut(buffer)
    const files = snapshot()
    const { length } = files.get('000001.db') as Uint8Array
    for (const share of [0, 0.01, 0.3, 0.5, 0.9]) {
      restore(files)
      truncateSync(join(folder, '000001.db'), Math.floor(length * share))
      const again = await open()
      const { found, lost } = await expectAccounted(again, 2000)
      expect(found.length + lost).toBe(2000)
      await shut(again)
    }
  })
})

test('what was lost before is not lost again: after damage upon damage new readings are kept as ever', async () => {
  const first = await open()
  await fill(first, 0, 400)
  await shut(first)
  const second = await open()
  await fill(second, 400, 900)
  const files = snapshot()
  await shut(second)
  restore(files)
  rmSync(join(folder, '000001.db-wal'))
  const third = await open()
  expect((await third.stats()).counters.evicted).toBe(500)
  await fill(third, 1000, 1040)
  await shut(third)
  // All rows but the newest, and everything that remembers them.
  const { size } = statSync(join(folder, '000001.db'))
  const bytes = readFileSync(join(folder, '000001.db'))
  const newest = salvage(join(folder, '000001.db')).rows.at(-1)!
  const at = bytes.indexOf(newest.data)
  flip('000001.db', 0, at - 200)
  flip('000001.db', at + newest.data.length, size)

  const again = await open()
  const { counters } = await again.stats()
  expect(counters.stored).toBeGreaterThanOrEqual(0)
  await fill(again, 2000, 2100)
  expect(await drain(again)).toEqual(expect.arrayContaining(Array.from({ length: 100 }, (_, index) => 2000 + index)))
  expect(lawHolds((await again.stats()).counters)).toBe(true)
})

describe('a closed file', () => {
  const small = { maxBytes: 8 * 1024 * 1024, fileBytes: 64 * 1024 }

  async function threeFiles(): Promise<number> {
    const buffer = await open(small)
    let sent = 0
    while ((await buffer.stats()).files < 4) {
      await fill(buffer, sent, sent + 500)
      sent += 500
    }
    await shut(buffer)
    return sent
  }

  test('a page damaged in it costs the rows on it, found when they are read', async () => {
    const sent = await threeFiles()
    flip('000002.db', 20_000, 1500)
    const again = await open(small)
    const { found, lost } = await expectAccounted(again, sent)
    expect(found.length + lost).toBe(sent)
    expect(lost).toBeGreaterThan(0)
    expect(lost).toBeLessThan(1000)
    expect((await again.stats()).losses).toMatchObject([{ exact: true, reason: 'corrupt' }])
  })

  test('cut off or deleted, it is noticed at the start', async () => {
    const sent = await threeFiles()
    const files = snapshot()
    truncateSync(join(folder, '000002.db'), 30_000)
    const cut = await open(small)
    expect(notices.join()).toContain('file 2 was rebuilt')
    const { found, lost } = await expectAccounted(cut, sent)
    expect(found.length + lost).toBe(sent)
    await shut(cut)
    restore(files)
    rmSync(join(folder, '000002.db'))
    const deleted = await open(small)
    const rest = await expectAccounted(deleted, sent)
    expect(rest.found.length + rest.lost).toBe(sent)
    expect((await deleted.stats()).losses).toMatchObject([{ exact: true, reason: 'missing' }])
  })

  test('with a journal left by a kill while it was closed, it is read as ever', async () => {
    const sent = await threeFiles()
    const path = join(folder, '000002.db')
    const writer = new Database(path)
    writer.pragma('cache_size = 1')
    writer.exec('BEGIN; UPDATE row SET crc = crc + 1')
    const [halfWritten, journal] = [readFileSync(path), readFileSync(`${path}-journal`)]
    writer.exec('ROLLBACK')
    writer.close()
    writeFileSync(path, halfWritten)
    writeFileSync(`${path}-journal`, journal)
    const { found, lost } = await expectAccounted(await open(small), sent)
    expect([found.length, lost]).toEqual([sent, 0])
  })

  test('a damaged pending batch is in the ledger, the others are sent', async () => {
    const buffer = await open(small)
    let sealed = 0
    while ((await buffer.stats()).files < 3) {
      await fill(buffer, sealed * 100, sealed * 100 + 100)
      if (await buffer.seal(100, 'live')) sealed++
    }
    await shut(buffer)
    flip('000001.db', 40_000, 4000)
    const again = await open(small)
    const pending = await again.pending(1000)
    const { losses, counters } = await again.stats()
    expect(pending.length).toBeLessThan(sealed)
    expect(pending.length + losses.length).toBeLessThanOrEqual(sealed)
    expect(pending.reduce((sum, { readings }) => sum + readings, 0) + counters.evicted).toBe(sealed * 100)
    expect(lawHolds(counters)).toBe(true)
  })

  test('when the last file and its state are gone, the files before it tell what there is', async () => {
    const sent = await threeFiles()
    rmSync(join(folder, '000004.db'))
    const again = await open(small)
    const { found, lost } = await expectAccounted(again, sent)
    expect(found.length + lost).toBe(sent)
  })
})

test('a row with a good CRC that cannot be decoded is lost once, not repaired for ever', async () => {
  const buffer = await open()
  await fill(buffer, 0, 100)
  const { counters } = await buffer.stats()
  await shut(buffer)
  const file = BufferFile.openTail(join(folder, '000001.db'), { fsyncOff: false })
  const whole = encodeRow(
    decodeRow(file.rowFrom(2)!.data).columns,
    changed(counters, 'raw', { accepted: 10, stored: 10 }),
  )
  file.putRow({ n: file.lastRow() + 1, readings: 10, held: 0, alarms: 0, receipts: null, data: whole.subarray(0, -5) })
  file.close()
  const { found, lost } = await expectAccounted(await open(), 110)
  expect([found.length, lost]).toEqual([100, 10])
})

test('quarantine keeps the newest three files', async () => {
  for (let round = 0; round < 5; round++) {
    const buffer = await open()
    await fill(buffer, round * 1000, round * 1000 + 1000)
    await shut(buffer)
    flip('000001.db', 0, 16)
  }
  const buffer = await open()
  expect((await buffer.stats()).backlogReadings).toBe(5000)
  expect(readdirSync(join(folder, 'quarantine'))).toHaveLength(3)
  expect(existsSync(join(folder, '000001.db.new'))).toBe(false)
})
