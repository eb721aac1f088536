import { decodeBatch } from '@tributary/shared/batch/codec'
import type { Recall } from '@tributary/shared/protocol'
import { afterEach, expect, test } from 'vitest'
import { reading } from './buffer-suite.ts'
import { acknowledge } from './copies.ts'
import { makeRoom } from './eviction.ts'
import { aggregate, commit, forgetFolders, killed, newFolder, open, rowContents } from './fold-kit.ts'
import { recallStep } from './recall.ts'
import { rotate } from './rotate.ts'
import { seal } from './sealing.ts'
import type { StoreState } from './state.ts'

afterEach(forgetFolders)

const ring = [{ ...aggregate, mode: 'ring' as const }]
const header = { agentId: 'ag', bootId: 'b', monotonicUs: 0, wallUs: 0 }
const recallOf = (id: number, fromUs: number, toUs: number, device = 'a'): Recall => {
  return { id, device, metric: 'temperature', fromUs, toUs }
}

/** A row each of these times, in the order of time, of two devices. */
function filled(rows: number): StoreState {
  const state = open(newFolder(), ring)
  for (let at = 0; at < rows; at++) commit(state, [reading('a', at, at), reading('b', at, at)])
  return state
}

/** Steps until it is done. */
function recalled(state: StoreState, recall: Recall): void {
  while (!recallStep(state, recall));
}

const sentTimes = (state: StoreState) => rowContents(state).sent.map(({ tsUs }) => tsUs)

test('held readings of a series in a range become readings to send, once, on the books', () => {
  const state = filled(50)
  const unsent = state.unsealed.readings
  recalled(state, recallOf(1, 10, 14))
  expect(rowContents(state).sent).toEqual([10, 11, 12, 13].map(at => reading('a', at, at)))
  expect(state.unsealed.readings).toBe(unsent + 4)
  expect(state.counters).toMatchObject({ accepted: 100, stored: 4, folded: 96 })
  recalled(state, recallOf(1, 10, 14))
  recalled(state, recallOf(2, 12, 16))
  expect(sentTimes(state)).toEqual([10, 11, 12, 13, 14, 15])
})

test('it is told in the header of the batch that ends its readings, until that is acknowledged', () => {
  const state = filled(3)
  recalled(state, recallOf(7, 0, 3))
  const told = () => {
    const batch = seal(state, 2, 'live', header)
    return batch && { ...batch, recallsDone: decodeBatch(batch.body).header.recallsDone }
  }
  expect(told()?.recallsDone).toEqual([])
  const last = told()
  expect(last?.recallsDone).toEqual([{ id: 7, readings: 3, complete: true }])
  commit(state, [reading('c', 1, 'text')])
  expect(told()?.recallsDone).toHaveLength(1)
  acknowledge(state, last!.epoch, last!.seq)
  commit(state, [reading('c', 1, 'text')])
  expect(told()?.recallsDone).toEqual([])
})

test('killed between its steps, and asked again, it sends every reading once', () => {
  let state = filled(1200)
  const recall = recallOf(1, 100, 1100)
  expect(recallStep(state, recall)).toBe(false)
  state = killed(state, ring)
  rotate(state)
  expect(recallStep(state, recall)).toBe(false)
  state = killed(state, ring)
  recalled(state, recall)
  expect(sentTimes(killed(state, ring))).toEqual(Array.from({ length: 1000 }, (_, index) => 100 + index))
})

test.each([
  [10, 20, false, []],
  [55, 58, true, [55, 56, 57]],
  [45, 52, false, [50, 51]],
])('of a range from %d to %d, the oldest kept being 50: complete is %s', (fromUs, toUs, complete, times) => {
  const state = filled(50)
  rotate(state)
  for (let at = 50; at < 60; at++) commit(state, [reading('a', at, at)])
  rotate(state)
  makeRoom(state)
  recalled(state, recallOf(1, fromUs, toUs))
  expect(sentTimes(state)).toEqual(times)
  expect(state.recalls.done).toMatchObject([{ id: 1, readings: times.length, complete }])
})

test('what is recalled is not folded again, by a start neither', () => {
  const both = [{ ...aggregate, mode: 'both' as const, reduce: { kind: 'every-nth' as const, n: 2 } }]
  const state = open(newFolder(), both)
  commit(
    state,
    [1, 2, 3, 4].map(at => reading('a', at, at)),
  )
  recalled(state, recallOf(1, 0, 10))
  expect(sentTimes(state)).toEqual([1, 3, 2, 4])
  for (const one of [state, killed(state, both)]) {
    commit(one, [])
    expect(one.fold.open.closeAll().map(({ folded }) => folded)).toEqual([2])
  }
  const again = killed(state, both)
  commit(again, [])
  const [part] = again.fold.open.closeAll()
  expect(part?.data[2]).toBe(4)
})
