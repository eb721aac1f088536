import { expect, test } from 'vitest'
import { readSabotage } from './sabotage.ts'

const known = ['fsync-off', 'no-dup-check'] as const

test('a sabotage is off by default, one or several of the known words, or refused', () => {
  expect([...readSabotage({}, known)]).toEqual([])
  expect([...readSabotage({ TRIBUTARY_SABOTAGE: 'no-dup-check, fsync-off' }, known)]).toEqual([
    'no-dup-check',
    'fsync-off',
  ])
  expect(() => readSabotage({ TRIBUTARY_SABOTAGE: 'fsync' }, known)).toThrow(
    'names `fsync`; known: fsync-off, no-dup-check',
  )
})
