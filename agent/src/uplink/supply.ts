/**
 * Brings batches from the buffer into the outbox, and decides whether the lanes go apart.
 *
 * - In order (most of the time): what is pending from before, then the backlog, then what is new; one queue after the other.
 * - Apart, once sending everything would take longer than `inOrderBelowMs`: the buffer is split, so that what came within `freshMs` and
 *   what comes is the live lane's, and the rest is backlog. They join when the backlog is gone. When the live lane itself falls that far
 *   behind (another outage), the buffer is split again.
 * Bounded: nothing is brought for a lane in which a batch waits, pending batches come in small pages, and with `maxHeld` refused
 * batches nothing is brought at all. So the bodies in memory, and the batches sealed and unsent, are few whatever the backlog.
 */
import type { Lane } from '@tributary/shared/protocol'
import type { Buffer } from '../buffer/buffer.ts'
import type { DrainEstimate } from './drain-estimate.ts'
import { Linger } from './linger.ts'
import type { Outbox } from './outbox.ts'
import type { UplinkConfig } from './uplink-config.ts'

/** Longest wait before looking again whatever is waited for, ms. */
export const lookEveryMs = 1000

/** Shortest wait between two looks at a buffer that has nothing, ms. */
const idleLookMs = 50
/** Pending batches brought at once. */
const pageBatches = 8
/** What came so lately is live when the lanes go apart, ms. */
const freshMs = 5000
/** After the buffer had nothing to split off, this long until it is asked again, ms. */
const splitAgainMs = 1000

export interface SupplyParts {
  readonly buffer: Pick<Buffer, 'seal' | 'split' | 'pending' | 'stats'>
  readonly outbox: Outbox
  readonly estimate: DrainEstimate
  readonly config: UplinkConfig
  readonly monotonicMs: () => number
}

export class Supply {
  readonly #parts: SupplyParts
  readonly #linger: Linger
  /** The buffer may hold sealed batches that are not in the outbox; those up to `#pageAfter` were looked through. */
  #mayHavePending = true
  #pageAfter: { readonly epoch: number; readonly seq: number } | null = null
  #noSplitUntilMs = 0
  #apart = false
  #backlogReadings = 0
  #unsealed: Record<Lane, number> = { live: 0, backlog: 0 }

  constructor(parts: SupplyParts) {
    this.#parts = parts
    this.#linger = new Linger(parts.config.maxReadings, parts.config.lingerMs)
  }

  /** Do the lanes go apart? */
  get apart(): boolean {
    return this.#apart
  }

  /** Readings that the hub does not have, as of the last look. */
  get backlogReadings(): number {
    return this.#backlogReadings
  }

  /** Of those, the ones that are not sealed. */
  get unsealed(): Readonly<Record<Lane, number>> {
    return this.#unsealed
  }

  /** So many readings were committed. Returns whether the time to seal changed by it. */
  arrived(readings: number): boolean {
    return this.#linger.arrived(readings, this.#parts.monotonicMs())
  }

  /** Batches became pending again. */
  pendingAgain(): void {
    this.#mayHavePending = true
    this.#pageAfter = null
  }

  /** The hub has so many readings more. */
  stored(readings: number): void {
    this.#backlogReadings = Math.max(0, this.#backlogReadings - readings)
  }

  /** Learn what the buffer holds. */
  async look(): Promise<void> {
    const { backlogReadings, unsealedLive, unsealedBacklog } = await this.#parts.buffer.stats()
    this.#backlogReadings = backlogReadings
    this.#unsealed = { live: unsealedLive, backlog: unsealedBacklog }
    this.#linger.observe(unsealedLive, this.#parts.monotonicMs())
  }

  /** Look, and let the lanes go apart or join. Only while the hub answers: what waits is not told apart before it can leave. */
  async arrange(): Promise<void> {
    await this.look()
    const { outbox } = this.#parts
    if (this.#isLong(this.#unsealed.live)) await this.#split()
    if (this.#apart) this.#apart = this.#unsealed.backlog > 0 || outbox.has('backlog')
    else this.#apart = this.#unsealed.backlog > 0 && this.#isLong(this.#unsealed.live + this.#unsealed.backlog)
  }

  /** Bring a batch for these lanes, the backlog's first, if one is to be had; returns when to look again, ms. */
  async fill(lanes: readonly Lane[]): Promise<number> {
    const { outbox, config } = this.#parts
    if (lanes.some(lane => outbox.waiting(lane) > 0) || outbox.heldCount >= config.maxHeld) return lookEveryMs
    if (lanes.includes('backlog') && ((await this.#bringPending()) || (await this.#bringBacklog()))) return lookEveryMs
    return lanes.includes('live') ? await this.#bringLive() : lookEveryMs
  }

  #isLong(readings: number): boolean {
    const { estimate, config } = this.#parts
    // What fits into the next batch is not worth a lane of its own.
    return readings > config.maxReadings && (estimate.inOrderMs(readings) ?? -1) >= config.inOrderBelowMs
  }

  async #split(): Promise<void> {
    const { buffer, monotonicMs } = this.#parts
    if (monotonicMs() < this.#noSplitUntilMs) return
    const split = await buffer.split(freshMs)
    if (split) await this.look()
    else this.#noSplitUntilMs = monotonicMs() + splitAgainMs
  }

  async #bringPending(): Promise<boolean> {
    const { buffer, outbox } = this.#parts
    while (this.#mayHavePending && outbox.waiting('backlog') === 0) {
      const page = await buffer.pending(pageBatches, this.#pageAfter)
      outbox.add(page, 'backlog')
      this.#pageAfter = page.at(-1) ?? null
      this.#mayHavePending = page.length > 0
    }
    return outbox.waiting('backlog') > 0
  }

  async #bringBacklog(): Promise<boolean> {
    const { buffer, outbox, config } = this.#parts
    if (this.#unsealed.backlog === 0) return false
    const batch = await buffer.seal(config.maxReadings, 'backlog')
    if (batch) outbox.add([batch], 'backlog')
    return batch !== null
  }

  async #bringLive(): Promise<number> {
    const { buffer, outbox, config, monotonicMs } = this.#parts
    const againMs = Math.max(idleLookMs, config.lingerMs)
    const dueInMs = this.#linger.dueInMs(monotonicMs())
    if (dueInMs === null) return againMs
    if (dueInMs > 0) return dueInMs
    const batch = await buffer.seal(config.maxReadings, 'live')
    this.#linger.sealed()
    if (batch) outbox.add([batch], 'live')
    return againMs
  }
}
