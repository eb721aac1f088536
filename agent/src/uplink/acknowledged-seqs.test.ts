import { expect, test } from 'vitest'
import { AcknowledgedSeqs } from './acknowledged-seqs.ts'

function sentAndAcknowledged(...seqs: number[]): AcknowledgedSeqs {
  const known = new AcknowledgedSeqs()
  for (const seq of seqs) {
    known.sent(1, seq)
    known.acknowledged(1, seq)
  }
  return known
}

test('a batch at the floor is lost once something is stored that was sent after its acknowledgement', () => {
  const known = sentAndAcknowledged(1, 2, 3)
  expect(known.stored(1, 3, 2)).toBeNull()
  expect(known.stored(1, 3, 4)).toBe(3)
})

test('nothing is lost while the store is behind, however long', () => {
  const known = sentAndAcknowledged(1, 2, 3, 4)
  expect([known.stored(1, 1, 0), known.stored(1, 2, 1), known.stored(1, 5, 4)]).toEqual([null, null, null])
})

test('what was under way together with the stored one may have come after it', () => {
  const known = new AcknowledgedSeqs()
  for (const seq of [1, 2]) known.sent(1, seq)
  for (const seq of [1, 2]) known.acknowledged(1, seq)
  expect(known.stored(1, 1, 2)).toBeNull()
})

test('a floor that was not acknowledged is on its way, and a loss is told once', () => {
  const known = sentAndAcknowledged(2, 3, 4)
  expect(known.stored(1, 1, 4)).toBeNull()
  expect(known.stored(1, 2, 4)).toBe(2)
  expect(known.stored(1, 2, 4)).toBeNull()
})

test('epochs are told apart, and an unknown one says nothing', () => {
  const known = sentAndAcknowledged(1, 2)
  for (let epoch = 2; epoch < 9; epoch++) known.sent(epoch, 1)
  expect(known.stored(99, 1, 5)).toBeNull()
  expect(known.stored(1, 1, 2)).toBe(1)
  known.sent(9, 1)
  expect(known.highestSent(1)).toBe(0)
})
