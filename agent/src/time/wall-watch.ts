/**
 * Watches the machine's wall clock for the agent's clock: takes the time from it while it is synchronised (`ntp`), or as it is
 * (`system`), where the configuration trusts that; and notices when it is set, which is a hint to ask the hub again, and no more.
 */
import type { AgentClock, Learned, TrustSource } from './agent-clock.ts'
import { NtpState } from './ntp-state.ts'

const lookEveryMs = 1000
/** Once trusted, NTP is asked so seldom. */
const confirmEveryUs = 60e6
/** A wall clock that moves by this much within a second was set. */
const stepUs = 500_000
/** How far a synchronised clock may be off. */
const ntpErrorUs = 50_000

export interface WallWatchOptions {
  readonly clock: AgentClock
  readonly ntp?: NtpState
  readonly onLearned: (source: TrustSource, learned: Learned) => void
  readonly onStep: (byUs: number) => void
}

export class WallWatch {
  readonly #options: WallWatchOptions
  readonly #ntp: NtpState
  #wallAheadUs: number | null = null
  #askNtpAtUs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #looking = false

  constructor(options: WallWatchOptions) {
    this.#options = options
    this.#ntp = options.ntp ?? new NtpState()
  }

  start(): void {
    void this.look()
    this.#timer = setInterval(() => void this.look(), lookEveryMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      this.#noticeStep()
      if (this.#options.clock.trusts('system')) this.#learn('system', 0)
      if (await this.#isSynchronized()) this.#learn('ntp', ntpErrorUs)
    } finally {
      this.#looking = false
    }
  }

  #noticeStep(): void {
    const { boot } = this.#options.clock
    const aheadUs = boot.wallUs() - boot.nowUs()
    const byUs = aheadUs - (this.#wallAheadUs ?? aheadUs)
    this.#wallAheadUs = aheadUs
    if (Math.abs(byUs) < stepUs) return
    this.#ntp.wallStepped(boot.wallUs() / 1000)
    this.#options.onStep(byUs)
  }

  async #isSynchronized(): Promise<boolean> {
    const { clock } = this.#options
    const nowUs = clock.boot.nowUs()
    if (!clock.trusts('ntp') || (clock.trusted && nowUs < this.#askNtpAtUs)) return false
    this.#askNtpAtUs = nowUs + confirmEveryUs
    return this.#ntp.synchronized()
  }

  #learn(source: TrustSource, errorUs: number): void {
    const { clock, onLearned } = this.#options
    const sample = { bootUs: clock.boot.nowUs(), timeUs: clock.boot.wallUs(), errorUs }
    onLearned(source, clock.learn(source, sample))
  }
}
