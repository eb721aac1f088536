import fc from 'fast-check'
import { expect, test } from 'vitest'
import { enrollProof, fields, formatBatchField, parseBatchField } from './protocol.ts'

test('a batch identity is read back as it was written', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 48 - 1 }),
      fc.integer({ min: 1, max: 999_999_999_999_999 }),
      (epoch, seq) => {
        expect(parseBatchField(formatBatchField(epoch, seq))).toEqual({ epoch, seq })
      },
    ),
    { numRuns: 200 },
  )
})

test.each([
  '',
  'epoch=1',
  'epoch=1;seq=',
  'epoch=1;seq=2;x=3',
  'seq=2;epoch=1',
  ' epoch=1;seq=2',
  'epoch=1; seq=2',
  'epoch=-1;seq=2',
  'epoch=1.5;seq=2',
  'epoch=1e3;seq=2',
  'epoch=1;seq=2\n',
  'epoch=1234567890123456;seq=1',
  'epoch=١;seq=2',
])('%j is no batch identity', text => {
  expect(parseBatchField(text)).toBeNull()
})

test('the proof of an enrolment depends on token and key, and on where one ends', () => {
  const proof = (token: string, key: string) => Buffer.from(enrollProof(token, key)).toString()
  expect(proof('tet_a_b', 'KEY')).toBe('tributary enroll\ntet_a_b\nKEY')
  expect(new Set([proof('a', 'b'), proof('ab', ''), proof('', 'ab'), proof('b', 'a')]).size).toBe(4)
})

test('field names are lower case, as a signature names them', () => {
  for (const name of Object.values(fields)) expect(name).toMatch(/^[a-z-]+$/)
})
