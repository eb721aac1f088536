import { expect, test } from 'vitest'
import { difference, Multiset, readingKey } from './multiset.ts'

function multiset(...keys: string[]): Multiset {
  const set = new Multiset()
  for (const key of keys) set.add(key)
  return set
}

test('an acknowledged reading that is not stored is lost; one stored twice is duplicated; an unacknowledged one may be either', () => {
  const sent = multiset('a', 'b', 'c', 'd')
  const found = difference(sent, multiset('a', 'b'), multiset('b', 'b', 'c'))
  expect(found).toEqual({ lost: 1, duplicated: 1, examples: ['lost a', 'duplicated b'] })
})

test('two equal readings that were both sent are no duplicate, and both must be stored', () => {
  expect(difference(multiset('a', 'a'), multiset('a', 'a'), multiset('a', 'a'))).toMatchObject({
    lost: 0,
    duplicated: 0,
  })
  expect(difference(multiset('a', 'a'), multiset('a', 'a'), multiset('a'))).toMatchObject({ lost: 1, duplicated: 0 })
})

test('a key tells minus zero from zero', () => {
  expect(readingKey('d', 'm', 1, -0)).not.toBe(readingKey('d', 'm', 1, 0))
})
