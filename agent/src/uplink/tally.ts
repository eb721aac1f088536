/** What the uplink has sent since it started, for its status. */
import type { Lane } from '@tributary/shared/protocol'
import type { ReadAnswer } from './verdict.ts'

export interface SentByLane {
  readonly batches: number
  readonly readings: number
  readonly bytes: number
}

export class Tally {
  readonly lanes: Record<Lane, SentByLane> = {
    live: { batches: 0, readings: 0, bytes: 0 },
    backlog: { batches: 0, readings: 0, bytes: 0 },
  }
  /** Requests that did not end with a stored batch. */
  failed = 0
  /** Batches sent again because the hub had lost them. */
  again = 0
  /** Batches sealed again because the hub had their identity otherwise. */
  resealed = 0
  lastSuccessMs: number | null = null
  desiredConfigVersion: number | null = null
  readonly #rejected = new Map<string, number>()

  stored(lane: Lane, readings: number, bytes: number, answer: ReadAnswer, nowMs: number): void {
    const sent = this.lanes[lane]
    this.lanes[lane] = { batches: sent.batches + 1, readings: sent.readings + readings, bytes: sent.bytes + bytes }
    for (const [reason, count] of answer.rejected) this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + count)
    this.desiredConfigVersion = answer.desiredConfigVersion
    this.lastSuccessMs = nowMs
  }

  get rejected(): Record<string, number> {
    return Object.fromEntries(this.#rejected)
  }

  sum(what: keyof SentByLane): number {
    return this.lanes.live[what] + this.lanes.backlog[what]
  }
}
