/**
 * The sealed batches in the agent's hands: waiting in order, in flight, or set aside because the hub refuses them. Pure bookkeeping;
 * every batch is in exactly one of the three until it is `done`, and none is in twice. Times are monotonic milliseconds.
 */
import type { ErrorCode } from '@tributary/shared/errors'
import { type Backoff, fullJitterMs } from '@tributary/shared/retry'
import type { SealedBatch } from '../buffer/buffer.ts'

export interface Outgoing {
  readonly batch: SealedBatch
  /** Tries that the hub has answered by refusing the batch itself. */
  readonly refusals: number
}

/** A batch that the hub refuses, as people see it. */
export interface HeldBatch {
  readonly epoch: number
  readonly seq: number
  readonly readings: number
  readonly code: ErrorCode
  readonly detail: string
  readonly tries: number
}

interface Held extends HeldBatch {
  readonly outgoing: Outgoing
  readonly retryAtMs: number
}

export class Outbox {
  readonly #heldBackoff: Backoff
  readonly #random: () => number
  #waiting: SealedBatch[] = []
  readonly #inFlight = new Map<string, Outgoing>()
  readonly #held = new Map<string, Held>()

  constructor(heldBackoff: Backoff, random: () => number = Math.random) {
    this.#heldBackoff = heldBackoff
    this.#random = random
  }

  /** Take in batches; those already here are passed over. */
  add(batches: readonly SealedBatch[]): void {
    const known = new Set([...this.#waiting.map(keyOf), ...this.#inFlight.keys(), ...this.#held.keys()])
    this.#waiting.push(...batches.filter(batch => !known.has(keyOf(batch))))
  }

  /** The next batch to send, now in flight: a held one whose time has come, else the first that waits. */
  take(nowMs: number): Outgoing | null {
    const due = [...this.#held.values()].find(held => held.retryAtMs <= nowMs)
    if (due) this.#held.delete(keyOf(due.outgoing.batch))
    const next = due?.outgoing ?? firstOf(this.#waiting.shift())
    if (next) this.#inFlight.set(keyOf(next.batch), next)
    return next
  }

  /** Stored at the hub. */
  done({ batch }: Outgoing): void {
    this.#inFlight.delete(keyOf(batch))
  }

  /** To be sent again as soon as sending goes on. */
  putBack(outgoing: Outgoing, nowMs: number): void {
    const key = keyOf(outgoing.batch)
    this.#inFlight.delete(key)
    const { epoch, seq, readings } = outgoing.batch
    if (outgoing.refusals > 0) {
      const detail = 'refused before, not answered since'
      this.#held.set(key, {
        epoch,
        seq,
        readings,
        code: 'unavailable',
        detail,
        tries: outgoing.refusals,
        outgoing,
        retryAtMs: nowMs,
      })
      return
    }
    // Epochs are random, so only a batch's own epoch orders it: in front of the first later one, else of everything.
    const later = this.#waiting.findIndex(other => other.epoch !== epoch || other.seq > seq)
    this.#waiting.splice(later < 0 ? this.#waiting.length : later, 0, outgoing.batch)
  }

  /** The hub refuses the batch itself: set it aside, try again after between half and all of a ceiling that doubles. */
  hold(outgoing: Outgoing, nowMs: number, code: ErrorCode, detail: string): void {
    const key = keyOf(outgoing.batch)
    this.#inFlight.delete(key)
    const refusals = outgoing.refusals + 1
    const ceilingMs = fullJitterMs(this.#heldBackoff, refusals - 1, () => 1)
    const retryAtMs = nowMs + (ceilingMs / 2) * (1 + this.#random())
    const { epoch, seq, readings } = outgoing.batch
    const held = { epoch, seq, readings, code, detail, tries: refusals }
    this.#held.set(key, { ...held, outgoing: { batch: outgoing.batch, refusals }, retryAtMs })
  }

  get waiting(): number {
    return this.#waiting.length
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  get heldCount(): number {
    return this.#held.size
  }

  held(): HeldBatch[] {
    return [...this.#held.values()].map(({ epoch, seq, readings, code, detail, tries }) => ({
      epoch,
      seq,
      readings,
      code,
      detail,
      tries,
    }))
  }

  /** Readings in all batches here. */
  readings(): number {
    let sum = 0
    for (const batch of this.#waiting) sum += batch.readings
    for (const { batch } of this.#inFlight.values()) sum += batch.readings
    for (const { readings } of this.#held.values()) sum += readings
    return sum
  }

  /** Milliseconds until a held batch is due; null when none is held. */
  heldDueInMs(nowMs: number): number | null {
    let due: number | null = null
    for (const { retryAtMs } of this.#held.values())
      due = Math.min(due ?? Number.POSITIVE_INFINITY, Math.max(0, retryAtMs - nowMs))
    return due
  }
}

function keyOf(batch: SealedBatch): string {
  return `${batch.epoch}/${batch.seq}`
}

function firstOf(batch: SealedBatch | undefined): Outgoing | null {
  return batch ? { batch, refusals: 0 } : null
}
