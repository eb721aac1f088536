/**
 * Full-jitter backoff (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015): each wait is uniform in
 * [0, min(cap, base · 2^attempt)], so that a fleet coming back at once spreads out by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { TributaryError } from './errors.ts'

export interface Backoff {
  /** Upper bound of the first wait, ms. */
  readonly baseMs: number
  /** Upper bound of any wait, ms. */
  readonly capMs: number
}

/** Milliseconds to wait before try `attempt` + 1 (the first failed try is attempt 0). `random` returns [0, 1). */
export function fullJitterMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt, 30))
  return Math.floor(random() * ceiling)
}

export interface RetryOptions extends Backoff {
  /** Tries in all; Infinity until the signal aborts. */
  readonly tries: number
  readonly signal: AbortSignal
  readonly retryable: (error: unknown) => boolean
  readonly onRetry?: (error: unknown, attempt: number, waitMs: number) => void
  readonly random?: () => number
}

/**
 * Run `operation` until it succeeds, fails for good, or runs out of tries. A `TributaryError` with `retryAfterS` waits at least
 * that long, plus its jitter. Throws the last error, or `aborted` when the signal fires while waiting.
 */
export async function retry<T>(operation: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await operation(attempt)
    } catch (error) {
      if (attempt + 1 >= options.tries || !options.retryable(error)) throw error
      const floorMs = error instanceof TributaryError ? (error.retryAfterS ?? 0) * 1000 : 0
      const waitMs = floorMs + fullJitterMs(options, attempt, options.random)
      options.onRetry?.(error, attempt, waitMs)
      await pause(waitMs, options.signal)
    }
  }
}

/** Wait, or throw `aborted` as soon as the signal fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (cause) {
    throw new TributaryError('aborted', 'stopped while waiting', { cause })
  }
}
