/**
 * What the policies make of a group, decided once, in order of arrival, when it is committed: send, hold, or leave out.
 *
 * What is decided stands in the row, by its marks and by what is not there, and in the counters of that row; a crash cannot decide
 * otherwise. A reduction remembers what it kept when the commit is done, so that a group which is tried again meets the same
 * decisions. In the row the readings to send come first and those held after them, each in order of arrival.
 */
import { Quality, type Value } from '@tributary/shared/reading'
import { decide } from '@tributary/shared/reduce/decide'
import type { ReduceState } from '@tributary/shared/reduce/state'
import type { Governed, SeriesPolicies } from '../aggregate/series-policies.ts'
import { type ClassCounts, noReadings } from './counters.ts'
import { Kind, Mark, type RowColumns } from './row-codec.ts'

export interface DecidedGroup {
  readonly columns: RowColumns
  /** Left out of the row, by class. */
  readonly suppressed: ClassCounts
  /** To be called when the row is committed. */
  readonly remember: () => void
}

/** Some 70,000 years. */
const farthestUs = 2 ** 51

const nothing = (): void => undefined

export function decideGroup(policies: SeriesPolicies, columns: RowColumns): DecidedGroup {
  const governed = governedSeries(policies, columns)
  if (governed === null) return { columns, suppressed: noReadings, remember: nothing }
  const drafts = new Map<Governed, ReduceState>()
  const sent: number[] = []
  const held: number[] = []
  const suppressed = { ...noReadings }
  const marks = columns.marks.slice(0, columns.readings)
  for (let index = 0; index < columns.readings; index++) {
    const by = governed[columns.series[index] as number] ?? null
    const fate = by === null ? 'send' : fateOf(by, drafts, columns, index)
    const alarm = by?.policy.class === 'alarm'
    if (fate === 'hold') held.push(index)
    else if (fate === 'send') sent.push(index)
    else suppressed[alarm ? 'alarm' : 'raw']++
    const mark = fate === 'hold' ? Mark.held : alarm ? Mark.alarm : 0
    const both = fate === 'send' && by?.policy.mode === 'both' && isFoldable(columns, index) ? Mark.both : 0
    marks[index] = (marks[index] as number) | mark | both
  }
  return {
    columns: select({ ...columns, marks }, [...sent, ...held], sent.length === 0 || held.length === 0),
    suppressed,
    remember: () => {
      for (const [by, draft] of drafts) by.reduced = draft
    },
  }
}

/** By index of the row's series; null when no policy is for any of them. */
function governedSeries(policies: SeriesPolicies, { names }: RowColumns): (Governed | null)[] | null {
  if (policies.policies.length === 0) return null
  const governed: (Governed | null)[] = []
  for (let at = 0; at < names.length; at += 3) governed.push(policies.of(names[at] as string, names[at + 1] as string))
  return governed.some(by => by !== null) ? governed : null
}

function fateOf(
  by: Governed,
  drafts: Map<Governed, ReduceState>,
  columns: RowColumns,
  index: number,
): 'send' | 'hold' | 'suppress' {
  const { mode } = by.policy
  if (mode === 'aggregate' || mode === 'ring') return isFoldable(columns, index) ? 'hold' : 'send'
  if (isKept(by, drafts, columns, index)) return 'send'
  return mode === 'both' && isFoldable(columns, index) ? 'hold' : 'suppress'
}

function isKept(by: Governed, drafts: Map<Governed, ReduceState>, columns: RowColumns, index: number): boolean {
  const { reduce } = by.policy
  if (reduce === null) return true
  let draft = drafts.get(by)
  if (draft === undefined) {
    draft = { ...by.reduced }
    drafts.set(by, draft)
  }
  const quality = ((columns.tags[index] as number) & 3) as Quality
  return decide(reduce, draft, columns.tsUs[index] as number, valueAt(columns, index), quality) === 'keep'
}

/** Can it be folded into a window: a finite number, not of bad quality, at a time whose windows are safe integers. */
export function isFoldable({ tags, values, tsUs }: RowColumns, index: number): boolean {
  const tag = tags[index] as number
  if (tag >> 2 !== Kind.number || (tag & 3) === Quality.bad) return false
  return Number.isFinite(values[index]) && Math.abs(tsUs[index] as number) <= farthestUs
}

function valueAt({ tags, values, strings }: RowColumns, index: number): Value {
  const value = values[index] as number
  switch ((tags[index] as number) >> 2) {
    case Kind.boolean:
      return value === 1
    case Kind.string:
      return strings[value] as string
    default:
      return value
  }
}

/** The readings at these indices, in this order. */
function select(columns: RowColumns, order: readonly number[], isInOrder: boolean): RowColumns {
  if (isInOrder && order.length === columns.readings) return columns
  const selected = {
    ...columns,
    readings: order.length,
    series: new Uint32Array(order.length),
    tags: new Uint8Array(order.length),
    tsUs: new Float64Array(order.length),
    values: new Float64Array(order.length),
    marks: new Uint8Array(order.length),
  }
  for (let to = 0; to < order.length; to++) {
    const from = order[to] as number
    selected.series[to] = columns.series[from] as number
    selected.tags[to] = columns.tags[from] as number
    selected.tsUs[to] = columns.tsUs[from] as number
    selected.values[to] = columns.values[from] as number
    selected.marks[to] = columns.marks[from] as number
  }
  return selected
}
