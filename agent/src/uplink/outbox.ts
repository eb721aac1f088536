/**
 * The sealed batches in the agent's hands: waiting in order, in flight, or set aside because the hub refuses them; each in the queue of
 * a lane. Pure bookkeeping; every batch is in exactly one of the three until it is `done`, and none is in twice. Times are monotonic
 * milliseconds.
 */
import type { ErrorCode } from '@tributary/shared/errors'
import type { Lane } from '@tributary/shared/protocol'
import { type Backoff, fullJitterMs } from '@tributary/shared/retry'
import type { SealedBatch } from '../buffer/buffer.ts'

export interface Outgoing {
  readonly batch: SealedBatch
  /** The queue that it stands in. */
  readonly lane: Lane
  /** Tries that the hub has answered by refusing the batch itself. */
  readonly refusals: number
  /** It was tried before, and may have been evicted from the buffer since. */
  readonly tried: boolean
  /** It has been sealed again under this identity: that is done once. */
  readonly resealed: boolean
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

const lanes: readonly Lane[] = ['live', 'backlog']

export class Outbox {
  readonly #heldBackoff: Backoff
  readonly #random: () => number
  readonly #waiting: Record<Lane, Outgoing[]> = { live: [], backlog: [] }
  readonly #inFlight = new Map<string, Outgoing>()
  readonly #held = new Map<string, Held>()

  constructor(heldBackoff: Backoff, random: () => number = Math.random) {
    this.#heldBackoff = heldBackoff
    this.#random = random
  }

  /** Take in batches; those already here are passed over. */
  add(batches: readonly SealedBatch[], lane: Lane): void {
    const waiting = lanes.flatMap(one => this.#waiting[one].map(({ batch }) => keyOf(batch)))
    const known = new Set([...waiting, ...this.#inFlight.keys(), ...this.#held.keys()])
    const fresh = batches.filter(batch => !known.has(keyOf(batch)))
    this.#waiting[lane].push(...fresh.map(batch => ({ batch, lane, refusals: 0, tried: false, resealed: false })))
  }

  /** The next batch to send of these lanes, now in flight: a held one whose time has come, else the first that waits. */
  take(nowMs: number, of: readonly Lane[]): Outgoing | null {
    const due = [...this.#held.values()].find(held => held.retryAtMs <= nowMs && of.includes(held.outgoing.lane))
    if (due) this.#held.delete(keyOf(due.outgoing.batch))
    const queue = of.map(lane => this.#waiting[lane]).find(waiting => waiting.length > 0)
    const next = due?.outgoing ?? queue?.shift() ?? null
    if (next) this.#inFlight.set(keyOf(next.batch), next)
    return next
  }

  /** Stored at the hub, or not to be sent any more. */
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
    const waiting = this.#waiting[outgoing.lane]
    const later = waiting.findIndex(({ batch: other }) => other.epoch !== epoch || other.seq > seq)
    waiting.splice(later < 0 ? waiting.length : later, 0, { ...outgoing, tried: true })
  }

  /** Its readings have another identity from here on, and go first in its lane. */
  replace({ batch: old, lane }: Outgoing, batch: SealedBatch): void {
    this.#inFlight.delete(keyOf(old))
    this.#waiting[lane].unshift({ batch, lane, refusals: 0, tried: false, resealed: true })
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
    this.#held.set(key, { ...held, outgoing: { ...outgoing, refusals, tried: true }, retryAtMs })
  }

  waiting(lane: Lane): number {
    return this.#waiting[lane].length
  }

  inFlightOf(lane: Lane): number {
    return [...this.#inFlight.values()].filter(outgoing => outgoing.lane === lane).length
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Is anything of this lane here? */
  has(lane: Lane): boolean {
    const held = [...this.#held.values()].some(({ outgoing }) => outgoing.lane === lane)
    return held || this.#waiting[lane].length > 0 || this.inFlightOf(lane) > 0
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

  /** Milliseconds until a held batch of these lanes is due; null when none is held. */
  heldDueInMs(nowMs: number, of: readonly Lane[]): number | null {
    let due: number | null = null
    for (const { retryAtMs, outgoing } of this.#held.values()) {
      if (!of.includes(outgoing.lane)) continue
      due = Math.min(due ?? Number.POSITIVE_INFINITY, Math.max(0, retryAtMs - nowMs))
    }
    return due
  }
}

function keyOf(batch: SealedBatch): string {
  return `${batch.epoch}/${batch.seq}`
}
