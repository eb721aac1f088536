import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseTimeUs } from '../signals/recording.ts'
import { collect } from '../signals/test-collect.ts'
import { createReplay, type ReplayOptions } from './replay.ts'

const data = join(import.meta.dirname, '../../data')
const shipped = join(data, 'machine_temperature_system_failure.csv')
const nowUs = Date.UTC(2026, 5, 1) * 1000
let folder = ''
let small = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replay-'))
  small = join(folder, 'small.csv')
  await writeFile(small, 'timestamp,value\n100,1\n110,\n120,3\n')
})
afterAll(() => rm(folder, { recursive: true }))

const replay = (options: Partial<ReplayOptions> = {}) =>
  collect(createReplay({ path: small, device: 'd', times: 'keep', clock: () => nowUs, ...options }))

describe('a replay', () => {
  it('keeps the times, or moves them so that the last or the first reading is now', async () => {
    const times = async (how: ReplayOptions['times']) => (await replay({ times: how })).map(e => e.tsUs)
    expect(await times('keep')).toEqual([100e6, 120e6])
    expect(await times('shift')).toEqual([nowUs - 20e6, nowUs])
    expect(await times('start')).toEqual([nowUs, nowUs + 20e6])
  })

  it('with `now` stamps each reading when it comes', async () => {
    let ticks = 0
    const emissions = await replay({ times: 'now', clock: () => nowUs + ticks++ })
    expect(emissions.map(e => e.tsUs)).toEqual([nowUs + 1, nowUs + 2])
  })

  it('counts, and names the metric', async () => {
    expect(await replay({ metric: 'temperature', unit: 'Cel' })).toEqual([
      { device: 'd', tsUs: 100e6, seq: 0, readings: [{ metric: 'temperature', unit: 'Cel', value: 1 }] },
      { device: 'd', tsUs: 120e6, seq: 1, readings: [{ metric: 'temperature', unit: 'Cel', value: 3 }] },
    ])
  })

  it('refuses one name for several columns, and names that cannot be', async () => {
    const several = join(folder, 'several.csv')
    await writeFile(several, 'timestamp,a,b\n100,1,\n')
    await expect(replay({ path: several, metric: 'x' })).rejects.toMatchObject({ code: 'config' })
    await expect(replay({ metric: 'a/b' })).rejects.toMatchObject({ code: 'config' })
    await expect(replay({ device: '#' })).rejects.toMatchObject({ code: 'config' })
  })

  it('stops while it waits for the next row when its signal fires', async () => {
    const stop = new AbortController()
    const emissions = createReplay({
      path: small,
      device: 'd',
      times: 'keep',
      clock: () => nowUs,
      speed: 0.001,
      signal: stop.signal,
    })
    expect((await emissions.next()).value).toMatchObject({ seq: 0 })
    const next = emissions.next()
    stop.abort()
    expect(await next).toEqual({ done: true, value: undefined })
  })

  it('plays the shipped recording whole, and its labels are times in it', async () => {
    const emissions = await replay({ path: shipped })
    expect(emissions).toHaveLength(22_695)
    const times = new Set(emissions.map(e => e.tsUs))
    const labels = JSON.parse(await readFile(shipped.replace('.csv', '.labels.json'), 'utf8')) as [string, string][]
    expect(labels).toHaveLength(4)
    for (const time of labels.flat()) expect(times.has(parseTimeUs(time)!)).toBe(true)
  })
})
