/**
 * One commit: a group's readings, dead letters, receipts, releases and the counters in one transaction, as one row.
 *
 * The row number is dense; the row is fsynced when `commitGroup` returns, and nothing in memory changes unless it does.
 */

import type { Group } from './group.ts'
import { encodeReceipts } from './receipts.ts'
import { encodeRow } from './row-codec.ts'
import type { StoreState } from './state.ts'
import { stateWritten, writeMark, writeState } from './state.ts'

export function commitGroup(state: StoreState, group: Group): void {
  const { tail, letters } = state
  const { readings } = group.columns
  const counters = {
    ...state.counters,
    accepted: state.counters.accepted + readings + group.deadLetters.length,
    stored: state.counters.stored + readings,
    deadLettered: state.counters.deadLettered + group.deadLetters.length,
    maybeDuplicate: state.counters.maybeDuplicate + group.maybeDuplicate,
  }
  const n = state.lastRow + 1
  const row = {
    n,
    readings,
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
  state.tailReadings += readings
  state.unsealed.live.readings += readings
  state.arrivals.note(n, performance.now())
  state.receipts.apply(group.receipts, group.releases)
  writeMark(state)
}
