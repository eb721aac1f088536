/**
 * A recording played by one device: the rows of a CSV file as emissions, with times kept or moved.
 *
 *   keep   as in the file
 *   shift  all moved by the same amount, so that the last reading is at the time of the start: a history up to now
 *   start  all moved by the same amount, so that the first reading is at the time of the start
 *   now    each reading carries the time at which it is sent: a live sensor, however fast the recording is played
 */
import { TributaryError } from '@tributary/shared/errors'
import { createFaults, type FaultRule, type TellTruth } from '../faults/fault.ts'
import type { Emission } from '../signals/emission.ts'
import { lastTimeUs, readRecording } from '../signals/recording.ts'
import { pace } from './pace.ts'
import { checkName } from './payload.ts'

export const replayTimes = ['shift', 'start', 'now', 'keep'] as const
export type ReplayTimes = (typeof replayTimes)[number]

export interface ReplayOptions {
  readonly path: string
  readonly device: string
  /** Names the only value column of a file; without it the column's own name. */
  readonly metric?: string
  readonly unit?: string
  readonly times: ReplayTimes
  /** µs since 1970 UTC; asked once, and once a reading for `now`. */
  readonly clock: () => number
  /** Times as fast as recorded; default: without waiting. */
  readonly speed?: number
  /** Ends a replay that waits for its next row. */
  readonly signal?: AbortSignal
  readonly seed?: string
  readonly faults?: readonly FaultRule[]
  readonly truth?: TellTruth
}

export async function* createReplay(options: ReplayOptions): AsyncGenerator<Emission> {
  const { path, device, unit = '', times, clock, faults = [], truth = () => undefined } = options
  checkName(device, 'device')
  const startUs = clock()
  const lastUs = times === 'shift' ? await lastTimeUs(path) : null
  const chain = createFaults(faults, device, options.seed ?? '', truth)
  const rows = pace(readRecording(path), row => row.tsUs, options.speed ?? Number.POSITIVE_INFINITY, options.signal)
  let moveUs: number | null = null
  let seq = 0
  for await (const row of rows) {
    moveUs ??= firstMove(times, row.tsUs, lastUs, startUs)
    if (row.values.length === 0) continue
    const tsUs = times === 'now' ? clock() : row.tsUs + moveUs
    const readings = row.values.map(({ metric, value }) => ({
      metric: rename(metric, options, row.columns),
      unit,
      value,
    }))
    yield* chain.apply({ device, tsUs, seq: seq++, readings })
  }
  yield* chain.end()
}

function firstMove(times: ReplayTimes, firstUs: number, lastUs: number | null, startUs: number): number {
  switch (times) {
    case 'keep':
    case 'now':
      return 0
    case 'start':
      return startUs - firstUs
    case 'shift':
      return startUs - (lastUs ?? firstUs)
    default:
      return times satisfies never
  }
}

function rename(metric: string, { metric: wanted, path }: ReplayOptions, columns: number): string {
  if (wanted !== undefined && columns > 1)
    throw new TributaryError('config', `${path} has more than one value column, so they keep their own names`, {
      hint: 'Leave the metric name out.',
    })
  checkName(wanted ?? metric, 'metric')
  return wanted ?? metric
}
