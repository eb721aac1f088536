import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lawHolds } from './buffer-suite.ts'
import {
  type Counters,
  changed,
  everKept,
  noCounters,
  ofClass,
  seriesClasses,
  sumOf,
  withClasses,
  withLoss,
} from './counters.ts'
import { decodeRowCounters, encodeRow } from './row-codec.ts'

const emptyRow = {
  readings: 0,
  names: [],
  strings: [],
  series: new Uint32Array(0),
  tags: new Uint8Array(0),
  tsUs: new Float64Array(0),
  values: new Float64Array(0),
  marks: new Uint8Array(0),
  boot: '',
}

const readings = fc.nat(50)
const step = fc.oneof(
  fc.record({ class: fc.constantFrom(...seriesClasses), stored: readings, folded: readings, suppressed: readings }),
  fc.record({ letters: readings }),
  fc.record({ loss: fc.record({ raw: readings, aggregate: readings, alarm: readings }) }),
)

test('after every commit and every loss the books balance, in all and for each class, and a row brings them back', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      let counters: Counters = noCounters
      for (const one of steps) {
        const before = counters
        if ('letters' in one) {
          counters = {
            ...counters,
            accepted: counters.accepted + one.letters,
            deadLettered: counters.deadLettered + one.letters,
          }
        } else if ('loss' in one) {
          counters = withLoss(counters, one.loss)
          const kept = before.stored + before.folded
          expect(counters.evicted - before.evicted).toBe(Math.min(kept, sumOf(one.loss)))
          expect(everKept(counters)).toEqual(everKept(before))
        } else {
          const { class: name, ...change } = one
          counters = changed(counters, name, { ...change, accepted: one.stored + one.folded + one.suppressed })
        }
        expect(lawHolds(counters)).toBe(true)
        expect(decodeRowCounters(encodeRow(emptyRow, counters))).toEqual(counters)
      }
    }),
  )
})

test('a loss is taken from its own class as long as that has enough', () => {
  let counters = changed(noCounters, 'raw', { accepted: 10, stored: 10 })
  counters = changed(counters, 'aggregate', { accepted: 5, folded: 5 })
  counters = changed(counters, 'alarm', { accepted: 3, stored: 3 })
  const after = withLoss(counters, { raw: 4, aggregate: 2, alarm: 1 })
  expect(ofClass(after, 'raw')).toMatchObject({ stored: 6, evicted: 4 })
  expect(ofClass(after, 'aggregate')).toMatchObject({ folded: 3, evicted: 2 })
  expect(ofClass(after, 'alarm')).toMatchObject({ stored: 2, evicted: 1 })
  const more = withLoss(after, { raw: 0, aggregate: 0, alarm: 5 })
  expect(ofClass(more, 'alarm')).toMatchObject({ stored: 0, evicted: 3 })
  expect(ofClass(more, 'raw')).toMatchObject({ stored: 3, evicted: 7 })
})

test('counters of a build without classes are raw', () => {
  const old = { accepted: 12, stored: 8, suppressed: 1, deadLettered: 2, evicted: 1, maybeDuplicate: 4 }
  const counters = withClasses(old)
  expect(counters).toMatchObject({ ...old, folded: 0 })
  expect(ofClass(counters, 'raw')).toEqual({
    class: 'raw',
    accepted: 10,
    stored: 8,
    folded: 0,
    suppressed: 1,
    evicted: 1,
  })
  expect(lawHolds(counters)).toBe(true)
})
