/** The memory behind the rolling kinds, sliding and count: aggregates of ranges, the window being emitted, readings counted in bytes. */
import { type AggregateStore, allocate, bytesInUse, clear, createAggregateStore } from './aggregate-store.ts'
import { type KeptReading, ReadingRun } from './reading-run.ts'
import { Rolling } from './rolling.ts'

export interface RollingMemory {
  /** One slot a series: the range, with a sketch that never has to coarsen, of a bucket for each reading. */
  readonly ranges: AggregateStore
  /** One slot: the window being emitted, its sketch coarsened to the stated bound. */
  readonly windows: AggregateStore
  readonly slot: number
  runBytes: number
}

/** What both kinds keep of a series. */
export interface RollingSeries {
  readonly run: ReadingRun
  readonly rolling: Rolling
}

export function createRollingMemory(sketchBuckets: number, maxReadings: number): RollingMemory {
  const windows = createAggregateStore(sketchBuckets, 1)
  return {
    ranges: createAggregateStore(sketchBuckets === 0 ? 0 : Math.max(3, maxReadings)),
    windows,
    slot: allocate(windows),
    runBytes: 0,
  }
}

export function createRollingSeries(memory: RollingMemory): RollingSeries {
  const run = new ReadingRun()
  memory.runBytes += run.bytes
  return { run, rolling: new Rolling(memory.ranges) }
}

export function releaseRollingSeries(memory: RollingMemory, { run, rolling }: RollingSeries): void {
  memory.runBytes -= run.bytes
  rolling.release()
}

/** Insert a reading in order; returns its distance from the first. */
export function insertReading(memory: RollingMemory, { run }: RollingSeries, reading: KeptReading): number {
  memory.runBytes -= run.bytes
  const at = run.insert(reading)
  memory.runBytes += run.bytes
  return at
}

/** Make the range of a series the window to be emitted. */
export function copyWindow({ windows, slot }: RollingMemory, { run, rolling }: RollingSeries): void {
  clear(windows, slot)
  rolling.copyInto(windows, slot, run)
}

export function rollingBytes({ runBytes, ranges }: RollingMemory): number {
  return runBytes + bytesInUse(ranges)
}
