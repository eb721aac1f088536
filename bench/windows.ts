/**
 * What a reading costs in one-minute windows, and what a series takes in memory: ours, exact and mergeable, with and without quantiles, against
 * a Map of objects with Welford's update (`other/welford-map.ts`).
 *
 * Readings come second by second from all series in turn, in order, cents as a sensor sends them. Both sides give every finished
 * minute's numbers. Time is that of the thread's processor, not the wall's. Memory is what a garbage collection leaves, after an hour of a
 * reading each ten seconds: ours keeps the hour for corrections (keepFor 1 h), the other side the current minute.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { TributaryError } from '@tributary/shared/errors'
import { finish } from '@tributary/shared/window/aggregate'
import { createWindows } from '@tributary/shared/window/create-windows'
import type { Windows } from '@tributary/shared/window/windows'
import { type Bench, type BenchContext, type BenchResult, type Comparison, compare, worstOf } from './bench.ts'
import { addToWelford, createWelfordWindows } from './other/welford-map.ts'

const secondUs = 1_000_000
const startUs = 1_763_820_000 * secondUs
const values = Float64Array.from(
  { length: 4096 },
  (_, i) => Math.round(2100 + 300 * Math.sin(i / 50) + ((i * 7919) % 97)) / 100,
)
const what = 'Map of objects, Welford; no quantiles, corrections, lateness'

interface Side {
  add(series: number, tsUs: number, order: number, value: number): void
  /** Minutes finished so far. */
  finished(): number
  /** Bytes in use by its own count. */
  bytes?(): number
}

export const windows: Bench = {
  name: 'windows',
  summary: 'one-minute windows: ns a reading and bytes a series, against a Map of objects with Welford',
  options: { readings: { type: 'string', value: 'N', default: '2000000', help: 'each turn of each side' } },
  run,
}

async function run({ values: options, runs, progress, signal }: BenchContext): Promise<BenchResult> {
  const readings = Number(options.readings)
  const variants: Record<string, Comparison> = {}
  for (const series of [1, 1000, 10_000]) {
    for (const buckets of [0, 512]) {
      const name = `${series} series${buckets > 0 ? ', quantiles' : ''}`
      const costs = { ours: [] as number[], other: [] as number[] }
      cost(ours(series, buckets), series, readings)
      cost(other(), series, readings)
      for (let i = 0; i < runs; i++) {
        signal.throwIfAborted()
        costs.ours.push(cost(ours(series, buckets), series, readings))
        costs.other.push(cost(other(), series, readings))
      }
      const figures = series === 10_000 ? { bytesASeries: memory(series, buckets) } : {}
      variants[name] = compare({ ...costs, what, unit: 'ns/reading', better: 'cost', figures })
      progress(`${name}: ours ${variants[name].ours.median}, other ${variants[name].other?.median} ns a reading`)
    }
  }
  return worstOf(variants)
}

/** Nanoseconds of processor time a reading. */
function cost(side: Side, series: number, readings: number): number {
  const before = process.threadCpuUsage()
  feed(side, series, Math.ceil(readings / series), secondUs)
  const { user, system } = process.threadCpuUsage(before)
  if (side.finished() === 0) throw new TributaryError('internal', 'no minute was finished')
  return Math.round(((user + system) * 10_000) / (Math.ceil(readings / series) * series)) / 10
}

function feed(side: Side, series: number, rounds: number, stepUs: number): void {
  for (let round = 0; round < rounds; round++) {
    for (let s = 0; s < series; s++) side.add(s, startUs + round * stepUs, round, values[(round + s * 31) & 4095]!)
  }
}

/** Bytes a series that a garbage collection leaves; of ours also by its own count. */
function memory(series: number, buckets: number): Record<string, number> {
  const measure = (create: () => Side): [number, Side] => {
    const before = bytesAlive()
    const side = create()
    feed(side, series, 6 * 63, 10 * secondUs)
    return [Math.round((bytesAlive() - before) / series), side]
  }
  const [oursAlive, side] = measure(() => ours(series, buckets))
  const [otherAlive, otherSide] = measure(other)
  if (otherSide.finished() !== side.finished()) throw new TributaryError('internal', 'the sides finished other minutes')
  return { ours: oursAlive, oursCounted: Math.round(side.bytes!() / series), other: otherAlive }
}

function bytesAlive(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // Array buffers go a collection after the objects that held them.
  for (let i = 0; i < 3; i++) collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function ours(series: number, sketchBuckets: number): Side {
  let finished = 0
  let checksum = 0
  const spec = { kind: 'tumbling', sizeUs: 60 * secondUs, latenessUs: 0, maxSeries: series, sketchBuckets } as const
  const engine: Windows = createWindows(spec, ({ aggregates, slot }) => {
    const { n, sum, mean, m2, min, max, first, last } = finish(aggregates, slot)
    checksum += n + sum + mean + m2 + min + max + first + last
    finished++
  })
  for (let i = 0; i < series; i++) engine.open()
  return {
    add: (s, tsUs, order, value) => void engine.add(s, tsUs, order, value),
    finished: () => (Number.isFinite(checksum) ? finished : 0),
    bytes: () => engine.bytes(),
  }
}

function other(): Side {
  const welford = createWelfordWindows()
  return {
    add: (s, tsUs, _order, value) => addToWelford(welford, s, tsUs, value),
    finished: () => (Number.isFinite(welford.checksum) ? welford.finished : 0),
  }
}
