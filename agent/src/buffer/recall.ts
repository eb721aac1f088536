/**
 * Recall: held readings of a series and a span of time are appended as a row to send, in one transaction with how far the recall has
 * come. Asked again, after a crash too, it goes on there; what an earlier recall has sent is not sent again. It looks through the rows
 * that there were when it began, some at a time.
 *
 * A recalled reading counts as stored from then on, no longer as folded. The recall is complete when nothing of the range can have
 * been given up: no row ever was, or an older reading of the series is still here; partly gone else, and after damage.
 */
import type { Recall } from '@tributary/shared/protocol'
import { changed } from './counters.ts'
import { place } from './place.ts'
import type { RunningRecall } from './recall-book.ts'
import { encodeRow, Mark, type RowColumns } from './row-codec.ts'
import { rowAt } from './sealing.ts'
import { type StoreState, stateWritten, writeMark, writeState } from './state.ts'

/** What one step looks through, and finds. */
const rowsAtOnce = 500
const readingsAtOnce = 5000

interface Found {
  readonly names: string[]
  readonly series: number[]
  readonly tags: number[]
  readonly tsUs: number[]
  readonly values: number[]
}

/** One step; true when the recall is done. */
export function recallStep(state: StoreState, recall: Recall): boolean {
  const { recalls } = state
  if (recalls.isDone(recall.id)) return true
  const from = recalls.running.find(({ id }) => id === recall.id) ?? begun(state, recall)
  const found: Found = { names: [], series: [], tags: [], tsUs: [], values: [] }
  const to = lookThrough(state, from, found)
  append(state, to, found)
  return recalls.isDone(recall.id)
}

function begun(state: StoreState, { id, device, metric, fromUs, toUs }: Recall): RunningRecall {
  const nextRow = firstRow(state)
  const recall = { id, device, metric, fromUs, toUs }
  return { ...recall, nextRow, endRow: state.lastRow, readings: 0, complete: nextRow === 1 }
}

function firstRow({ closed, tailFirstRow }: StoreState): number {
  return closed[0]?.firstRow ?? tailFirstRow
}

function lookThrough(state: StoreState, from: RunningRecall, found: Found): RunningRecall {
  let { nextRow, complete } = from
  const damaged = state.tailHoles.length > 0 || state.closed.some(({ holes }) => holes)
  if (nextRow < firstRow(state)) complete = false
  for (let left = rowsAtOnce; left > 0 && nextRow <= from.endRow && found.tsUs.length < readingsAtOnce; left--) {
    const row = rowAt(state, nextRow)
    nextRow = Math.min(row?.n ?? from.endRow, from.endRow) + 1
    const columns = row && row.n <= from.endRow ? place(state.times, row.columns) : null
    if (columns && takeFrom(state, columns, row?.n ?? 0, from, found)) complete = true
  }
  const readings = from.readings + found.tsUs.length
  return { ...from, nextRow, readings, complete: complete && !damaged }
}

/** Adds what is asked for; returns whether the series has an older reading here. */
function takeFrom(state: StoreState, columns: RowColumns, n: number, recall: RunningRecall, found: Found): boolean {
  let older = false
  const { names, series, marks, tsUs, tags, values } = columns
  for (let index = 0; index < columns.readings; index++) {
    const at = (series[index] as number) * 3
    const isHeld = ((marks[index] as number) & Mark.held) !== 0
    if (!isHeld || names[at] !== recall.device || names[at + 1] !== recall.metric) continue
    const timeUs = tsUs[index] as number
    if (timeUs < recall.fromUs) older = true
    if (timeUs < recall.fromUs || timeUs >= recall.toUs || wasRecalled(state, recall, n, timeUs)) continue
    found.series.push(seriesOf(found, recall, names[at + 2] as string))
    found.tags.push(tags[index] as number)
    found.tsUs.push(timeUs)
    found.values.push(values[index] as number)
  }
  return older
}

function wasRecalled({ recalls }: StoreState, { device, metric }: Recall, n: number, timeUs: number): boolean {
  return recalls.done.some(
    done =>
      done.device === device &&
      done.metric === metric &&
      n <= done.endRow &&
      timeUs >= done.fromUs &&
      timeUs < done.toUs,
  )
}

function seriesOf({ names }: Found, { device, metric }: Recall, unit: string): number {
  for (let at = 0; at < names.length; at += 3) if (names[at + 2] === unit) return at / 3
  return names.push(device, metric, unit) / 3 - 1
}

function append(state: StoreState, recall: RunningRecall, { names, series, tags, tsUs, values }: Found): void {
  const { recalls, tail } = state
  const readings = tsUs.length
  const n = state.lastRow + (readings > 0 ? 1 : 0)
  const counters = changed(state.counters, 'aggregate', { folded: -readings, stored: readings })
  const columns: RowColumns = {
    readings,
    names,
    strings: [],
    series: Uint32Array.from(series),
    tags: Uint8Array.from(tags),
    tsUs: Float64Array.from(tsUs),
    values: Float64Array.from(values),
    marks: new Uint8Array(readings).fill(Mark.recalled),
    boot: '',
  }
  const before = recalls.state
  recalls.set(recalls.after(recall, n))
  recalls.dirty = true
  try {
    tail.transaction(() => {
      if (readings > 0) {
        tail.putRow({ n, readings, held: 0, alarms: 0, receipts: null, data: encodeRow(columns, counters) })
      }
      writeState(state)
    })
  } catch (error) {
    recalls.set(before)
    throw error
  }
  stateWritten(state)
  state.counters = counters
  state.lastRow = n
  state.tailReadings = { ...state.tailReadings, raw: state.tailReadings.raw + readings }
  state.unsealed.live.readings += readings
  writeMark(state)
}
