/**
 * Lets items through no earlier than their time says, counted from the first item: live, faster than live, or without waiting.
 * Items behind their time pass at once, so a hold-up is caught up. The signal ends a wait, and with it the sequence.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export async function* pace<T>(
  items: Iterable<T> | AsyncIterable<T>,
  timeUs: (item: T) => number,
  speed: number,
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<T> {
  let first: { readonly tsUs: number; readonly atMs: number } | null = null
  for await (const item of items) {
    if (signal.aborted) return
    first ??= { tsUs: timeUs(item), atMs: performance.now() }
    const dueMs = first.atMs + (timeUs(item) - first.tsUs) / 1000 / speed
    for (let leftMs = dueMs - performance.now(); leftMs > 0; leftMs = dueMs - performance.now()) {
      const waited = await sleep(Math.ceil(leftMs), true, { signal }).catch(() => false)
      if (!waited) return
    }
    yield item
  }
}
