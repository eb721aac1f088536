/**
 * The loop of one owned partition: read, deliver, move on. At most one delivery at a time; a rejected one is delivered again after
 * a pause, from where the consumer says.
 */
import { isTributaryError } from '@tributary/shared/errors'
import { fullJitterMs } from '@tributary/shared/retry'
import { isRetryableDatabaseError } from '../database/database-error.ts'
import type { LogConsumer, LogRecord } from './event-log.ts'
import { waitMs } from './wait.ts'

export interface PartitionSource {
  read(partition: number, offset: bigint): Promise<LogRecord[]>
  endOffset(partition: number): Promise<bigint>
  progress(partition: number, nextOffset: bigint): Promise<void>
  /** False while this member's lease may have run out. */
  mayDeliver(): boolean
  onError(error: unknown): void
  readonly pollMs: number
}

const progressEveryMs = 500

/** Starts the loop. `fail` is called once when the consumer wants to stop loudly. */
export function consumePartition(
  partition: number,
  consumer: LogConsumer,
  source: PartitionSource,
  signal: AbortSignal,
  fail: (error: unknown) => void,
): { stop: () => Promise<void>; wake: () => void } {
  const own = new AbortController()
  const ended = AbortSignal.any([signal, own.signal])
  const idle = new Idle(ended)
  const running = run(partition, consumer, source, ended, idle).catch(fail)
  const stop = () => {
    own.abort()
    return running
  }
  return { stop, wake: () => idle.wake() }
}

async function run(
  partition: number,
  consumer: LogConsumer,
  source: PartitionSource,
  ended: AbortSignal,
  idle: Idle,
): Promise<void> {
  let next: bigint | null = null
  let reported = -1n
  let reportedAt = 0
  let failures = 0
  while (!ended.aborted) {
    try {
      next ??= await consumer.assigned(partition)
      const step: bigint | null = source.mayDeliver() ? await deliver(partition, next, consumer, source, ended) : null
      failures = 0
      if (step !== null) next = step
      if (next !== reported && (step === null || performance.now() - reportedAt > progressEveryMs)) {
        await source.progress(partition, next)
        reported = next
        reportedAt = performance.now()
      }
      if (step === null) await idle.wait(source.pollMs)
    } catch (error) {
      if (ended.aborted) break
      if (stopsLoudly(error)) throw error
      source.onError(error instanceof DeliveryRejected ? error.cause : error)
      next = null
      await waitMs(20 + fullJitterMs({ baseMs: 100, capMs: 10_000 }, failures++), ended)
    }
  }
  if (next !== null && next !== reported) await source.progress(partition, next).catch(error => source.onError(error))
}

/** The offset after what was delivered, or null when there was nothing. */
async function deliver(
  partition: number,
  next: bigint,
  consumer: LogConsumer,
  source: PartitionSource,
  ended: AbortSignal,
): Promise<bigint | null> {
  const records = await source.read(partition, next)
  const first = records[0]
  if (first === undefined) {
    const end = await source.endOffset(partition)
    if (end <= next || (await source.read(partition, next)).length > 0) return null
    return await consumer.truncated(partition, next, end)
  }
  if (first.offset > next) return await consumer.truncated(partition, next, first.offset)
  if (ended.aborted || !source.mayDeliver()) return null
  try {
    await consumer.handle(partition, records)
  } catch (error) {
    throw new DeliveryRejected(error)
  }
  return first.offset + BigInt(records.length)
}

/** Whatever the consumer's `handle` threw: always tried again. */
class DeliveryRejected extends Error {
  constructor(cause: unknown) {
    super('a delivery was rejected', { cause })
  }
}

function stopsLoudly(error: unknown): boolean {
  return !(error instanceof DeliveryRejected) && isTributaryError(error) && !isRetryableDatabaseError(error)
}

/** A pause that a hint or the end cuts short. A hint that comes while nobody waits cuts the next pause. */
class Idle {
  private resolve: (() => void) | null = null
  private hinted = false

  constructor(signal: AbortSignal) {
    signal.addEventListener('abort', () => this.wake(), { once: true })
  }

  wake(): void {
    if (this.resolve === null) this.hinted = true
    this.resolve?.()
  }

  async wait(ms: number): Promise<void> {
    if (this.hinted) {
      this.hinted = false
      return
    }
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.resolve = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.resolve = null
  }
}
