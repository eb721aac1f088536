import { expect, test } from 'vitest'
import { isTributaryError, messageOf, TributaryError } from './errors.ts'

test('an error carries its code, cause and what to do next', () => {
  const cause = new Error('ENOSPC')
  const error = new TributaryError('storage-full', 'the disk is full', {
    cause,
    hint: 'free some space',
    retryAfterS: 3,
  })
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({
    name: 'TributaryError',
    code: 'storage-full',
    message: 'the disk is full',
    hint: 'free some space',
    retryAfterS: 3,
  })
  expect(error.cause).toBe(cause)
  expect(error.stack).toContain('errors.test.ts')
})

test('what was not said is undefined', () => {
  const error = new TributaryError('internal', 'x')
  expect([error.hint, error.retryAfterS, error.cause]).toEqual([undefined, undefined, undefined])
})

test.each(['rate-limited', 'unavailable', 'storage', 'storage-full', 'clock-skew'] as const)(
  '%s may pass by itself',
  code => {
    expect(new TributaryError(code, 'x').retryable).toBe(true)
    expect(new TributaryError(code, 'x', { retryable: false }).retryable).toBe(false)
  },
)

test.each([
  'malformed',
  'conflict',
  'unauthenticated',
  'forbidden',
  'agent-revoked',
  'corrupt',
  'internal',
  'aborted',
] as const)('%s stays until somebody acts', code => {
  expect(new TributaryError(code, 'x').retryable).toBe(false)
  expect(new TributaryError(code, 'x', { retryable: true }).retryable).toBe(true)
})

test('errors are told apart by their code', () => {
  const error = new TributaryError('conflict', 'x')
  expect(isTributaryError(error)).toBe(true)
  expect(isTributaryError(error, 'conflict')).toBe(true)
  expect(isTributaryError(error, 'corrupt')).toBe(false)
  for (const other of [new Error('x'), { code: 'conflict' }, 'conflict', null, undefined]) {
    expect(isTributaryError(other)).toBe(false)
  }
})

test('anything thrown has a message', () => {
  expect([new Error('a'), new TributaryError('internal', 'b'), 'c', 4, null, undefined].map(messageOf)).toEqual([
    'a',
    'b',
    'c',
    '4',
    'null',
    'undefined',
  ])
})
