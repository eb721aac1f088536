import fc from 'fast-check'
import { expect, test } from 'vitest'
import { matchesGlob } from './glob.ts'

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '/'), maxLength: 8 })
const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 })

test('a star stands for any run of characters and a question mark for one, nothing else is special', () => {
  fc.assert(
    fc.property(patterns, letters, (pattern, text) => {
      const source = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')
      expect(matchesGlob(pattern, text)).toBe(new RegExp(`^${source}$`, 's').test(text))
    }),
    { numRuns: 2000 },
  )
})

test('a pattern of many stars costs no more than its length times that of the text', () => {
  expect(matchesGlob(`${'a*'.repeat(128)}b`, 'a'.repeat(256))).toBe(false)
})
