import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseProblem } from './problem.ts'

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) => ({
  status,
  headers,
  body: new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body)),
})

test('a problem document gives code, detail and time', () => {
  const problem = {
    type: 'about:blank',
    title: 'T',
    status: 401,
    code: 'clock-skew',
    detail: 'your clock is off',
    hubTimeMs: 1234,
  }
  expect(parseProblem(answer(401, problem))).toEqual({
    code: 'clock-skew',
    named: true,
    detail: 'your clock is off',
    retryAfterS: null,
    hubTimeMs: 1234,
  })
})

test.each([
  [401, 'malformed', 'unauthenticated'],
  [409, 'storage', 'conflict'],
  [400, 'unsupported-version', 'unsupported-version'],
  [503, 'agent-revoked', 'unavailable'],
  [500, undefined, 'unavailable'],
  [418, 'teapot', 'unprocessable'],
  [302, undefined, 'unprocessable'],
])('with status %i the code %j means %s', (status, code, expected) => {
  expect(parseProblem(answer(status, { code })).code).toBe(expected)
})

test('without a detail the title or the status speaks', () => {
  expect(parseProblem(answer(503, { title: 'Down' })).detail).toBe('Down')
  expect(parseProblem(answer(502, '<html>Bad Gateway</html>')).detail).toBe('HTTP status 502')
})

test('a detail is one bounded line', () => {
  const detail = `a\r\nb\u001b[31m\u2028c ${'x'.repeat(1000)}`
  const read = parseProblem(answer(400, { detail })).detail
  expect(read).toMatch(/^a b \[31m c x+$/)
  expect(read.length).toBeLessThanOrEqual(300)
})

describe('Retry-After', () => {
  const retryAfter = (value: string, date?: string) =>
    parseProblem(answer(503, '', { 'retry-after': value, ...(date === undefined ? {} : { date }) })).retryAfterS

  test('is seconds, or a date by the clock of the hub', () => {
    expect(retryAfter('0')).toBe(0)
    expect(retryAfter('120')).toBe(120)
    expect(retryAfter('Tue, 20 Apr 2021 02:08:55 GMT', 'Tue, 20 Apr 2021 02:07:55 GMT')).toBe(60)
  })

  test('is at most an hour and never negative', () => {
    expect(retryAfter('3601')).toBe(3600)
    expect(retryAfter('999999999')).toBe(3600)
    expect(retryAfter('Tue, 20 Apr 2021 02:07:55 GMT', 'Tue, 20 Apr 2021 02:08:55 GMT')).toBe(0)
  })

  test('that makes no sense is absent', () => {
    for (const value of ['', '-1', '1.5', 'soon', '9999999999']) expect(retryAfter(value)).toBeNull()
    expect(retryAfter('Tue, 20 Apr 2021 02:08:55 GMT')).toBeNull()
  })
})

test('whatever stands in an answer is read without a throw', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 599 }),
      fc.oneof(fc.string(), fc.jsonValue()),
      fc.string(),
      (status, body, header) => {
        const { detail, retryAfterS } = parseProblem(answer(status, body ?? 'null', { 'retry-after': header }))
        expect(detail.length).toBeLessThanOrEqual(300)
        expect(retryAfterS === null || (retryAfterS >= 0 && retryAfterS <= 3600)).toBe(true)
      },
    ),
    { numRuns: 200 },
  )
})
