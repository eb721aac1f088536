/**
 * One commit: a group's readings, dead letters, receipts, releases and the counters in one transaction, as one row.
 *
 * The row number is dense; the row is fsynced when `commitGroup` returns, and nothing in memory changes unless it does. What the policies
 * say of the readings is decided here, and stands in the row (decide-group.ts); what they fold goes into windows afterwards (fold.ts).
 */

import { type ClassCounts, type Counters, changed, plus, type SeriesClass, unsentReadings } from './counters.ts'
import { decideGroup } from './decide-group.ts'
import { writeFold } from './fold.ts'
import { foldCommitted } from './fold-forward.ts'
import type { Group } from './group.ts'
import { noteUnplaced } from './place.ts'
import { encodeReceipts } from './receipts.ts'
import { classesIn, encodeRow } from './row-codec.ts'
import type { StoreState } from './state.ts'
import { stateWritten, writeMark, writeState } from './state.ts'

export function commitGroup(state: StoreState, group: Group): void {
  const { tail, letters } = state
  const { columns, suppressed, remember } = decideGroup(state.fold.policies, group.columns)
  const classes = classesIn(columns)
  const counters = withGroup(state.counters, group, classes, suppressed)
  const receipts = encodeReceipts(group.receipts, group.releases)
  const data = encodeRow(columns, counters)
  const counts = { readings: columns.readings, held: classes.aggregate, alarms: classes.alarm }
  const [written, lettersAdded] = tail.transaction(() => {
    const before = writeFold(state)
    tail.putRow({ n: before.lastRow + 1, ...counts, receipts, data })
    writeState(state)
    if (group.deadLetters.length === 0) return [before, null]
    return [before, letters.add(tail, group.deadLetters, state.counters.deadLettered + 1)]
  })
  stateWritten(state)
  written.follow()
  remember()
  const n = written.lastRow + 1
  if (lettersAdded) {
    lettersAdded()
    state.dirty = true
  }
  state.counters = counters
  state.lastRow = n
  state.tailReadings = plus(state.tailReadings, classes)
  state.unsealed.live.readings += unsentReadings(classes)
  noteUnplaced(state.times, n, columns)
  state.arrivals.note(n, performance.now())
  state.receipts.apply(group.receipts, group.releases)
  writeMark(state)
  foldCommitted(state, n, columns, data.length)
}

function withGroup(before: Counters, group: Group, kept: ClassCounts, suppressed: ClassCounts): Counters {
  let counters = withKept(before, 'raw', kept.raw, suppressed.raw)
  const { aggregate } = kept
  if (aggregate > 0) counters = changed(counters, 'aggregate', { accepted: aggregate, folded: aggregate })
  if (kept.alarm + suppressed.alarm > 0) counters = withKept(counters, 'alarm', kept.alarm, suppressed.alarm)
  return {
    ...counters,
    accepted: counters.accepted + group.deadLetters.length,
    deadLettered: counters.deadLettered + group.deadLetters.length,
    maybeDuplicate: counters.maybeDuplicate + group.maybeDuplicate,
  }
}

function withKept(before: Counters, name: SeriesClass, stored: number, suppressed: number): Counters {
  return changed(before, name, { accepted: stored + suppressed, stored, suppressed })
}
