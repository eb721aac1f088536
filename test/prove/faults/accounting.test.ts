import { expect, it } from 'vitest'
import { Multiset } from '../../harness/multiset.ts'
import { account } from './accounting.ts'

const bag = (...keys: string[]) => {
  const set = new Multiset()
  for (const key of keys) set.add(key)
  return set
}
const loss = (readings: number, exact: boolean) => ({
  epoch: 1,
  fromSeq: 1,
  toSeq: 1,
  readings,
  exact,
  reason: 'corrupt',
})

it.each([
  ['all stored, no loss', bag('a', 'b'), [], true],
  ['one gone, not told', bag('a'), [], false],
  ['one gone, told exactly', bag('a'), [loss(1, true)], true],
  ['one gone, two told exactly', bag('a'), [loss(2, true)], false],
  ['one gone, at most two told', bag('a'), [loss(2, false)], true],
  ['two gone, one exactly and one at most', bag(), [loss(1, true), loss(1, false)], true],
  ['none gone, one told exactly', bag('a', 'b'), [loss(1, true)], false],
  ['one twice', bag('a', 'a', 'b'), [], false],
  ['one that nobody sent', bag('a', 'b', 'c'), [], false],
])('%s', (_what, stored, losses, balanced) => {
  const book = (key: string) => ({ sent: bag(key), acknowledged: bag(key) })
  expect(account([book('a'), book('b')], stored, losses).balanced).toBe(balanced)
})
