import { expect, test } from 'vitest'
import { lowerBase32 } from './lower-base32.ts'

// RFC 4648 §10, in lower case and without padding
test.each([
  ['', ''],
  ['f', 'my'],
  ['fo', 'mzxq'],
  ['foo', 'mzxw6'],
  ['foob', 'mzxw6yq'],
  ['fooba', 'mzxw6ytb'],
  ['foobar', 'mzxw6ytboi'],
])('%j is %j', (text, encoded) => {
  expect(lowerBase32(Buffer.from(text))).toBe(encoded)
})
