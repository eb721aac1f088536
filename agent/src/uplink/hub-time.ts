/**
 * Asks the hub for its time, for the agent's clock: before anything else while no time is trusted, then often enough that a boot's clock
 * which runs wrong is noticed before it is off by a second.
 *
 * - The first answer gives trust; one that took over a second is asked for again at once, up to three times: the connection is open by then.
 * - The next comes after 5 s: at 5 %, ten times worse than the worst crystal, the clock is off by 0.25 s then. Every answer that finds it
 *   within 0.1 s doubles the wait, up to ten minutes; one that does not halves it.
 * - An answer that is not signed but came over TLS is believed too; one over plain http is nobody's word: what is placed by it is uncertain.
 * What the hub refuses with, and that it cannot be reached, is the caller's to wait for.
 */
import { isTributaryError } from '@tributary/shared/errors'
import { exchangeHello } from '../identity/hello.ts'
import type { HubAnswer, HubConnection } from '../identity/hub-connection.ts'
import type { Identity } from '../identity/identity.ts'
import type { AgentClock, Learned } from '../time/agent-clock.ts'
import type { HubClock } from '../time/hub-clock.ts'
import type { Sample } from '../time/time-estimate.ts'
import { judge, type Setback } from './verdict.ts'

const shortestMs = 5000
const longestMs = 600_000
/** An exchange that took longer says too little of the time. */
const slowMs = 1000
const tries = 3

export interface HubTimeParts {
  readonly identity: Identity
  readonly time: AgentClock
  readonly hubClock: HubClock
  readonly onLearned: (learned: Learned) => void
  /** An answer gave the time, and nobody vouches for it. */
  readonly onUnsigned: (why: string) => void
  readonly signal: AbortSignal
}

export class HubTime {
  readonly #parts: HubTimeParts
  #waitMs = shortestMs
  #dueAtMs = Number.NEGATIVE_INFINITY
  #answered = false
  #refreshing = false

  constructor(parts: HubTimeParts) {
    this.#parts = parts
  }

  /** Nothing but this question may leave: without its answer what is in the buffer has no time. */
  get comesFirst(): boolean {
    const { time } = this.#parts
    return time.trusts('hub') && !time.trusted && !this.#answered
  }

  isDue(nowMs: number): boolean {
    return !this.#refreshing && this.#parts.time.trusts('hub') && nowMs >= this.#dueAtMs
  }

  /** The machine's clock was set, or the machine slept: worth a question. */
  askSoon(): void {
    this.#dueAtMs = Number.NEGATIVE_INFINITY
  }

  /** Null: the hub answered. */
  async ask(connection: HubConnection): Promise<Setback | null> {
    const { hubClock } = this.#parts
    for (let attempt = 1; ; attempt++) {
      const sentMs = hubClock.monotonicMs()
      // Whatever comes of it: not again before.
      this.#dueAtMs = sentMs + this.#waitMs
      const setback = await this.#askOnce(connection)
      const answeredMs = hubClock.monotonicMs()
      this.#dueAtMs = answeredMs + this.#waitMs
      if (setback !== null || answeredMs - sentMs <= slowMs || attempt === tries) return setback
    }
  }

  /** Ask beside other requests; what comes of a failure is that it is asked again when it is due. */
  async refresh(connection: HubConnection): Promise<void> {
    this.#refreshing = true
    try {
      await this.ask(connection)
    } catch (error) {
      if (!isTributaryError(error)) throw error
    } finally {
      this.#refreshing = false
    }
  }

  async #askOnce(connection: HubConnection): Promise<Setback | null> {
    const { identity, time, hubClock, signal } = this.#parts
    const sentMs = hubClock.monotonicMs()
    const sentUs = time.boot.nowUs()
    const { answer, said, hubTimeMs, signature } = await exchangeHello(connection, identity, hubClock.nowMs(), signal)
    const receivedUs = time.boot.nowUs()
    if (hubTimeMs === null) return setbackOf(answer)
    const sample = {
      bootUs: Math.round((sentUs + receivedUs) / 2),
      timeUs: Math.round(hubTimeMs * 1000),
      errorUs: (receivedUs - sentUs) / 2,
    }
    const isHubs = said !== null && connection.isEncrypted
    if (!signature.valid && !isHubs) return this.#unsigned(answer, sample, said !== null, signature.why)
    hubClock.hear(hubTimeMs, sentMs)
    this.#learn(sample)
    return null
  }

  #learn(sample: Sample): void {
    const learned = this.#parts.time.learn('hub', sample)
    this.#answered = true
    if (learned === 'confirmed') this.#waitMs = Math.min(longestMs, this.#waitMs * 2)
    else this.#waitMs = Math.max(shortestMs, this.#waitMs / 2)
    this.#parts.onLearned(learned)
  }

  /** A hub of before, or with another key than at enrolment: it may take batches all the same. */
  #unsigned(answer: HubAnswer, sample: Sample, said: boolean, why: string): Setback | null {
    if (!said) return setbackOf(answer)
    this.#parts.time.guess(sample)
    this.#answered = true
    this.#waitMs = longestMs
    this.#parts.onUnsigned(why)
    return null
  }
}

/** As a batch would be set back by this answer: nothing was asked that the hub could hold against a batch. */
function setbackOf(answer: HubAnswer): Setback {
  const verdict = judge(answer, 0)
  switch (verdict.kind) {
    case 'held':
    case 'conflict':
    case 'refused':
      return { ...verdict, kind: 'refused' }
    case 'later':
      return verdict
    case 'clock-skew':
      return later('the hub says that this clock is off, in an answer that does not verify')
    case 'stored':
      return later('the hub answered with something that is no answer')
    default:
      return verdict satisfies never
  }
}

function later(detail: string): Setback {
  return { kind: 'later', code: 'clock-skew', detail, retryAfterS: null }
}
