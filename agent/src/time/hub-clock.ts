/**
 * The hub's time as the agent knows it: the best other time there is until a signed answer has told it.
 *
 * Requests are signed by it, and lanes told apart; what readings are stamped by is the agent's clock (agent-clock.ts). Only an answer that
 * the hub signed for this agent's own request may correct it (signed-exchange.ts, hub-time.ts). From then on time
 * advances by the monotonic clock, so a wall clock that jumps afterwards changes nothing. Milliseconds.
 */
import type { AgentClock } from './agent-clock.ts'

export interface Clocks {
  /** Since 1970 UTC, ms; may jump. */
  readonly wallMs: () => number
  /** Since 1970 UTC, ms, by the best clock until the hub is heard; `wallMs` by default. */
  readonly bestMs?: () => number
  /** Since any moment, ms; never jumps. */
  readonly monotonicMs: () => number
}

export const systemClocks: Clocks = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }

export class HubClock {
  readonly #clocks: Clocks
  #learned: { readonly hubMs: number; readonly atMonotonicMs: number } | null = null
  #corrections = 0

  constructor(clocks: Clocks = systemClocks) {
    this.#clocks = clocks
  }

  nowMs(): number {
    if (!this.#learned) return (this.#clocks.bestMs ?? this.#clocks.wallMs)()
    return this.#learned.hubMs + (this.#clocks.monotonicMs() - this.#learned.atMonotonicMs)
  }

  /** The hub said `hubMs` in an answer to a request sent at `sentMonotonicMs`; it is taken for the middle of the exchange. */
  hear(hubMs: number, sentMonotonicMs: number): void {
    const atMonotonicMs = this.#clocks.monotonicMs()
    this.#learned = { hubMs: hubMs + (atMonotonicMs - sentMonotonicMs) / 2, atMonotonicMs }
  }

  /** Likewise, because it refused a request for the time that this clock had. */
  learn(hubMs: number, sentMonotonicMs: number): void {
    this.hear(hubMs, sentMonotonicMs)
    this.#corrections++
  }

  monotonicMs(): number {
    return this.#clocks.monotonicMs()
  }

  /** How far the hub is ahead of this machine's clock now; null until it was learned. */
  offsetMs(): number | null {
    return this.#learned === null ? null : Math.round(this.nowMs() - this.#clocks.wallMs())
  }

  get corrections(): number {
    return this.#corrections
  }
}

/** One that begins with the time that the agent trusts, and while there is none with the machine's. */
export function hubClockBeside(time: AgentClock | null): HubClock {
  if (time === null) return new HubClock()
  return new HubClock({ ...systemClocks, bestMs: () => (time.nowUs() ?? time.boot.wallUs()) / 1000 })
}
