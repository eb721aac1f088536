/**
 * The agent's clock: gives every message its time of receipt, and knows whether that time can be trusted.
 *
 * | state | a message received is stamped by |
 * |---|---|
 * | untrusted | the boot's clock, and placed in time later (buffer/place.ts) |
 * | trusted | the boot's clock and its place in time, as a trusted source told it |
 *
 * A boot gains trust once and keeps it: the machine's own wall clock decides nothing afterwards, however it is set. The sources are
 * `hub` (its signed time), `ntp` (the machine's clock while it is synchronised) and `system` (the machine's clock as it is); of several,
 * the one named first in `trust` is believed, the others until it has spoken.
 * Stamps never go back while corrections are small: what is ahead by up to `maxSlewUs` goes slower until it is right, what is behind
 * jumps forward. A larger step back of the trusted source itself is followed, and counted: a wrong time is worse than a repeated one.
 */
import { type Anchor, timeAt } from './anchor.ts'
import type { BootClock } from './boot-clock.ts'
import { type Sample, TimeEstimate } from './time-estimate.ts'

export const trustSources = ['hub', 'ntp', 'system'] as const
export type TrustSource = (typeof trustSources)[number]

/** When a message was received. */
export interface Stamp {
  /** Since 1970 UTC when `placed`, else of the boot's clock. */
  readonly tsUs: number
  readonly placed: boolean
}

/** How a boot stands in time; what must outlive the process. */
export interface BootTrust {
  /** As of the moment of trust: places what was stored before, and never changes. */
  readonly placing: Anchor
  /** Told by a source that is trusted; else nobody vouches for it. */
  readonly certain: boolean
  /** As of the last sample: where a restarted agent goes on. */
  readonly latest: Anchor
  readonly source: TrustSource
}

export interface ClockStatus {
  readonly trusted: boolean
  readonly source: TrustSource | null
  /** When this boot gained trust, ms since 1970; null while it has not. */
  readonly trustedSinceMs: number | null
  /** The trusted time minus the machine's, ms; null while untrusted. */
  readonly offsetMs: number | null
  /** How far the trusted time may be off, ms; null while untrusted. */
  readonly errorMs: number | null
  /** By how much the boot's clock is slow, parts per million, as far as it is known. */
  readonly ratePpm: number
  /** Corrections of more than `noticeUs`, and those of them that went back in one step. */
  readonly corrections: number
  readonly stepsBack: number
}

/** What a sample did. */
export type Learned = 'gained' | 'corrected' | 'stepped-back' | 'confirmed' | 'ignored'

const maxSlewUs = 2_000_000
/** Part of the time by which stamps go slower while they are ahead. */
const slew = 0.1
const noticeUs = 100_000

export class AgentClock {
  readonly boot: BootClock
  readonly #trust: readonly TrustSource[]
  readonly #listeners: ((trust: BootTrust) => void)[] = []
  #estimate: TimeEstimate | null = null
  #source: TrustSource | null = null
  #placing: Anchor | null = null
  #rate = 0
  /** By how much stamps were ahead of the estimate, at that moment of the boot's clock. */
  #ahead = { us: 0, atUs: 0 }
  #lastStampUs = 0
  #corrections = 0
  #stepsBack = 0

  constructor(boot: BootClock, trust: readonly TrustSource[]) {
    this.boot = boot
    this.#trust = trust
  }

  get bootId(): string {
    return this.boot.bootId
  }

  get trusted(): boolean {
    return this.#estimate !== null
  }

  trusts(source: TrustSource): boolean {
    return this.#trust.includes(source)
  }

  /** Told of every change that must outlive the process, also of confirmations. */
  onTrust(listener: (trust: BootTrust) => void): void {
    this.#listeners.push(listener)
  }

  /** Go on where an earlier process left off: with the trust of this boot, or with the rate of an earlier one. */
  resume({ trust, rate }: { readonly trust: BootTrust | null; readonly rate: number }): void {
    if (this.#estimate !== null) {
      this.#tell()
      return
    }
    this.#rate = rate
    if (trust === null || !trust.certain || !this.trusts(trust.source)) return
    const { latest, source, placing } = trust
    this.#estimate = new TimeEstimate({ ...latest, errorUs: noticeUs }, latest.rate)
    this.#source = source
    this.#placing = placing
  }

  stamp(): Stamp {
    const bootUs = this.boot.nowUs()
    if (this.#estimate === null) return { tsUs: bootUs, placed: false }
    this.#lastStampUs = Math.max(
      this.#lastStampUs,
      timeAt(this.#estimate.anchor, bootUs) + Math.ceil(this.#aheadUs(bootUs)),
    )
    return { tsUs: this.#lastStampUs, placed: true }
  }

  /** The trusted time, µs since 1970 UTC; null while untrusted. */
  nowUs(): number | null {
    return this.#estimate && timeAt(this.#estimate.anchor, this.boot.nowUs())
  }

  /** A source gave the time. */
  learn(source: TrustSource, sample: Sample): Learned {
    if (!this.#believes(source)) return 'ignored'
    const estimate = this.#estimate
    this.#source = source
    if (estimate === null) {
      this.#estimate = new TimeEstimate(sample, this.#rate)
      this.#placing = this.#estimate.anchor
      this.#tell()
      return 'gained'
    }
    const movedUs = estimate.take(sample)
    const steppedBack = this.#follow(movedUs, sample.bootUs)
    this.#tell()
    if (Math.abs(movedUs) < noticeUs) return 'confirmed'
    this.#corrections++
    return steppedBack ? 'stepped-back' : 'corrected'
  }

  /** The time as somebody told it for whom nobody vouches: while untrusted, what is placed by it is `uncertain`. */
  guess(sample: Sample): void {
    if (this.#estimate !== null) return
    const anchor = { bootUs: sample.bootUs, timeUs: sample.timeUs, rate: this.#rate }
    for (const listener of this.#listeners) listener({ placing: anchor, latest: anchor, certain: false, source: 'hub' })
  }

  status(): ClockStatus {
    const bootUs = this.boot.nowUs()
    const estimate = this.#estimate
    return {
      trusted: estimate !== null,
      source: this.#source,
      trustedSinceMs: this.#placing && Math.round(this.#placing.timeUs / 1000),
      offsetMs: estimate && Math.round((timeAt(estimate.anchor, bootUs) - this.boot.wallUs()) / 1000),
      errorMs: estimate && Math.round(estimate.errorUs(bootUs) / 1000),
      ratePpm: Math.round((estimate?.anchor.rate ?? this.#rate) * 1e6),
      corrections: this.#corrections,
      stepsBack: this.#stepsBack,
    }
  }

  #believes(source: TrustSource): boolean {
    const rank = this.#trust.indexOf(source)
    return rank >= 0 && (this.#source === null || rank <= this.#trust.indexOf(this.#source))
  }

  /** Let the stamps go on from where they are towards an estimate that moved; true when they step back. */
  #follow(movedUs: number, bootUs: number): boolean {
    const aheadUs = this.#aheadUs(bootUs) - movedUs
    const stepsBack = aheadUs > maxSlewUs
    if (stepsBack) {
      this.#stepsBack++
      this.#lastStampUs = 0
    }
    this.#ahead = { us: stepsBack ? 0 : Math.max(0, aheadUs), atUs: bootUs }
    return stepsBack
  }

  #aheadUs(bootUs: number): number {
    return Math.max(0, this.#ahead.us - Math.max(0, bootUs - this.#ahead.atUs) * slew)
  }

  #tell(): void {
    if (this.#estimate === null || this.#source === null || this.#placing === null) return
    const trust = { placing: this.#placing, latest: this.#estimate.anchor, certain: true, source: this.#source }
    for (const listener of this.#listeners) listener(trust)
  }
}

/** A clock that believes the machine's, once and for this process: for tools and tests that need no better one. */
export function machineClock(boot: BootClock): AgentClock {
  const clock = new AgentClock(boot, ['system'])
  clock.learn('system', { bootUs: boot.nowUs(), timeUs: boot.wallUs(), errorUs: 0 })
  return clock
}
