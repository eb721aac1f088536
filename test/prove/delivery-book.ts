/**
 * What devices sent and saw acknowledged, over all the ways by which they send (`qos1`, `serial`, …): the ground truth of a proof,
 * and the clock by which it chooses its moments.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Multiset, readingKey } from '../harness/multiset.ts'

/** Acknowledgement times kept of each lane. */
const recentKept = 4096
const flowTimeoutMs = 60_000

export interface SentReading {
  readonly key: string
  readonly tsUs: number
  /** The value as JSON, bit for bit. */
  readonly valueText: string
}

/** The n-th reading of a series: a time and a value of its own. */
export function makeReading(device: string, slot: number, n: number): SentReading {
  const tsUs = Date.now() * 1000 + slot
  const { value, valueText } = makeValue(slot, n)
  return { key: readingKey(device, `m${slot}`, tsUs, value), tsUs, valueText }
}

/** A double of full precision, now and then −0, and as JSON. */
export function makeValue(slot: number, n: number): { readonly value: number; readonly valueText: string } {
  const value = n % 50 === 0 ? -0 : Math.fround(20 + Math.sin(n / 9 + slot)) + n / 1e6
  return { value, valueText: Object.is(value, -0) ? '-0.0' : String(value) }
}

export class DeliveryBook {
  readonly sent = new Multiset()
  readonly acknowledged = new Multiset()
  readonly byLane: Record<string, number> = {}
  /** Readings sent and not yet acknowledged. */
  outstanding = 0
  readonly #recentMs = new Map<string, number[]>()
  readonly #pauses = new Map<string, { sinceMs: number; longestMs: number }>()
  #listener: { readonly lane: string | null; readonly call: () => void } | null = null

  constructor(lanes: readonly string[]) {
    for (const lane of lanes) {
      this.byLane[lane] = 0
      this.#recentMs.set(lane, [])
    }
  }

  /** Send the readings of one message by `send`, which resolves at its acknowledgement. */
  async deliver(lane: string, keys: readonly string[], send: () => Promise<void>): Promise<void> {
    for (const key of keys) this.sent.add(key)
    this.outstanding += keys.length
    await send()
    this.outstanding -= keys.length
    for (const key of keys) this.acknowledged.add(key)
    this.byLane[lane] = (this.byLane[lane] ?? 0) + keys.length
    this.#heard(lane)
  }

  #heard(lane: string): void {
    const recent = this.#recentMs.get(lane) ?? []
    recent.push(performance.now())
    if (recent.length > recentKept) recent.splice(0, recentKept / 2)
    this.#endPause(lane)
    const listener = this.#listener
    if (listener === null || (listener.lane !== null && listener.lane !== lane)) return
    this.#listener = null
    listener.call()
  }

  /** Called at the next acknowledgement, on any lane or on this one, in the turn of the event loop that brings it. */
  onceAcknowledged(call: () => void, lane: string | null = null): void {
    this.#listener = { lane, call }
  }

  /** Measure pauses anew from here on. */
  startPauses(): void {
    for (const lane of Object.keys(this.byLane)) this.#pauses.set(lane, { sinceMs: performance.now(), longestMs: 0 })
  }

  /** The longest time without an acknowledgement on the lane since `startPauses`. */
  longestPauseMs(lane: string): number {
    this.#endPause(lane)
    return this.#pauses.get(lane)?.longestMs ?? 0
  }

  #endPause(lane: string): void {
    const pause = this.#pauses.get(lane)
    if (pause === undefined) return
    const now = performance.now()
    pause.longestMs = Math.max(pause.longestMs, now - pause.sinceMs)
    pause.sinceMs = now
  }

  acknowledgedWithinMs(ms: number): number {
    const since = performance.now() - ms
    return [...this.#recentMs.values()].flat().filter(at => at > since).length
  }

  /** Resolves when on each of the lanes acknowledgements came in the first and in the last quarter of the past `ms`. */
  async flowing(ms: number, lanes: readonly string[] = Object.keys(this.byLane)): Promise<void> {
    const endMs = Date.now() + flowTimeoutMs
    for (;;) {
      const now = performance.now()
      const still = lanes.filter(lane => {
        const times = this.#recentMs.get(lane) ?? []
        const early = times.some(at => at > now - ms && at < now - 0.75 * ms)
        return !early || !times.some(at => at > now - 0.25 * ms)
      })
      if (still.length === 0) return
      if (Date.now() > endMs) {
        throw new Error(`no steady acknowledgements for a minute on ${still.join(', ')}: something did not come back`)
      }
      await sleep(50)
    }
  }
}
