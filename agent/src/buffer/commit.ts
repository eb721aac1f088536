/**
 * One commit: a group's readings, dead letters, receipts, releases and the counters in one transaction, as one row.
 *
 * The row number is dense; the row is fsynced when `commitGroup` returns, and nothing in memory changes unless it does.
 */

import { type ClassCounts, type Counters, changed, plus, unsentReadings } from './counters.ts'
import type { Group } from './group.ts'
import { noteUnplaced } from './place.ts'
import { encodeReceipts } from './receipts.ts'
import { classesIn, encodeRow } from './row-codec.ts'
import type { StoreState } from './state.ts'
import { stateWritten, writeMark, writeState } from './state.ts'

export function commitGroup(state: StoreState, group: Group): void {
  const { tail, letters } = state
  const { readings } = group.columns
  const classes = classesIn(group.columns)
  const counters = withGroup(state.counters, group, classes)
  const n = state.lastRow + 1
  const row = {
    n,
    readings,
    held: classes.aggregate,
    alarms: classes.alarm,
    receipts: encodeReceipts(group.receipts, group.releases),
    data: encodeRow(group.columns, counters),
  }
  const lettersAdded = tail.transaction(() => {
    tail.putRow(row)
    writeState(state)
    if (group.deadLetters.length === 0) return null
    return letters.add(tail, group.deadLetters, state.counters.deadLettered + 1)
  })
  stateWritten(state)
  if (lettersAdded) {
    lettersAdded()
    state.dirty = true
  }
  state.counters = counters
  state.lastRow = n
  state.tailReadings = plus(state.tailReadings, classes)
  state.unsealed.live.readings += unsentReadings(classes)
  noteUnplaced(state.times, n, group.columns)
  state.arrivals.note(n, performance.now())
  state.receipts.apply(group.receipts, group.releases)
  writeMark(state)
}

function withGroup(before: Counters, group: Group, { raw, aggregate, alarm }: ClassCounts): Counters {
  let counters = changed(before, 'raw', { accepted: raw, stored: raw })
  if (aggregate > 0) counters = changed(counters, 'aggregate', { accepted: aggregate, folded: aggregate })
  if (alarm > 0) counters = changed(counters, 'alarm', { accepted: alarm, stored: alarm })
  return {
    ...counters,
    accepted: counters.accepted + group.deadLetters.length,
    deadLettered: counters.deadLettered + group.deadLetters.length,
    maybeDuplicate: counters.maybeDuplicate + group.maybeDuplicate,
  }
}
