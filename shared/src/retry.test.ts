import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TributaryError } from './errors.ts'
import { fullJitterMs, pause, type RetryOptions, retry } from './retry.ts'

const backoff = { baseMs: 500, capMs: 60_000 }

describe('full jitter', () => {
  test('the ceiling doubles from the base up to the cap', () => {
    const ceilings = [0, 1, 2, 6, 7, 8, 1000].map(attempt => fullJitterMs(backoff, attempt, () => 1))
    expect(ceilings).toEqual([500, 1000, 2000, 32_000, 60_000, 60_000, 60_000])
  })

  test('a wait may be anything below the ceiling, nothing included', () => {
    expect(fullJitterMs(backoff, 3, () => 0)).toBe(0)
    expect(fullJitterMs(backoff, 3, () => 0.5)).toBe(2000)
    fc.assert(
      fc.property(fc.nat(2000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, random) => {
        const wait = fullJitterMs(backoff, attempt, () => random)
        expect(Number.isInteger(wait) && wait >= 0 && wait <= backoff.capMs).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test('waits of many agents spread over the whole range', () => {
    const waits = Array.from({ length: 200 }, () => fullJitterMs({ baseMs: 1000, capMs: 1000 }, 0))
    expect(Math.min(...waits)).toBeLessThan(200)
    expect(Math.max(...waits)).toBeGreaterThan(800)
  })
})

/** Runs `retry` over an operation that fails with `errors` in turn and then succeeds; no wait is longer than a tick. */
async function run(errors: readonly unknown[], options: Partial<RetryOptions> = {}) {
  const waits: number[] = []
  const attempts: number[] = []
  const left = [...errors]
  const result = retry(
    async attempt => {
      attempts.push(attempt)
      if (left.length > 0) throw left.shift()
      return 'done'
    },
    {
      baseMs: 2,
      capMs: 8,
      tries: Number.POSITIVE_INFINITY,
      signal: new AbortController().signal,
      retryable: () => true,
      onRetry: (_error, _attempt, waitMs) => waits.push(waitMs),
      random: () => 0.5,
      ...options,
    },
  )
  return {
    result: await result.then(
      value => ({ value }),
      (error: unknown) => ({ error }),
    ),
    waits,
    attempts,
  }
}

describe('retry', () => {
  const passing = new TributaryError('unavailable', 'down')

  test('goes on until the operation succeeds, with growing waits', async () => {
    const { result, waits, attempts } = await run([passing, passing, passing, passing])
    expect(result).toEqual({ value: 'done' })
    expect(attempts).toEqual([0, 1, 2, 3, 4])
    expect(waits).toEqual([1, 2, 4, 4])
  })

  test('does not wait after success or the last try', async () => {
    expect((await run([])).waits).toEqual([])
    const { result, waits, attempts } = await run([passing, passing, passing], { tries: 2 })
    expect(result).toEqual({ error: passing })
    expect(attempts).toEqual([0, 1])
    expect(waits).toHaveLength(1)
  })

  test('ends at once with an error that stays', async () => {
    const lasting = new TributaryError('conflict', 'no')
    const { result, attempts } = await run([passing, lasting, passing], { retryable: error => error === passing })
    expect(result).toEqual({ error: lasting })
    expect(attempts).toEqual([0, 1])
  })

  test('never waits less than the other side asked for', async () => {
    const later = new TributaryError('rate-limited', 'slow down', { retryAfterS: 0.02 })
    expect((await run([later, later])).waits).toEqual([21, 22])
  })

  test('stops waiting when its signal fires', async () => {
    const controller = new AbortController()
    const { result, attempts } = await run([passing, passing], {
      baseMs: 3600_000,
      capMs: 3600_000,
      signal: controller.signal,
      onRetry: () => controller.abort(),
    })
    expect(result).toMatchObject({ error: { code: 'aborted' } })
    expect(attempts).toEqual([0])
  })
})

test('a pause under a signal that has fired does not wait', async () => {
  await expect(pause(3600_000, AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
  await expect(pause(1, new AbortController().signal)).resolves.toBeUndefined()
})
