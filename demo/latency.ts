/**
 * From the moment in which a reading is taken until SQL finds it: for some series, by asking every few milliseconds for the readings
 * that were not found yet.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import type { SentReading } from '../firmware-sim/src/transports/transport.ts'

const everyMs = 20

interface Found {
  readonly takenMs: number
  readonly latencyMs: number
}

export interface Disturbance {
  readonly fromMs: number
  /** When its cause was over; what was taken before that and is stored late belongs to it. */
  readonly untilMs: number
}

export class Latency {
  readonly #pool: Pool
  readonly #isProbe: (reading: SentReading) => boolean
  /** `device/metric` → times not found yet, µs. */
  readonly #awaited = new Map<string, Set<number>>()
  readonly #found: Found[] = []

  constructor(pool: Pool, isProbe: (reading: SentReading) => boolean) {
    this.#pool = pool
    this.#isProbe = isProbe
  }

  readonly sent = (reading: SentReading): void => {
    if (!this.#isProbe(reading)) return
    const name = `${reading.device}/${reading.metric}`
    const times = this.#awaited.get(name) ?? new Set()
    this.#awaited.set(name, times.add(reading.tsUs))
  }

  /** Looks until the signal fires; what was not found by then does not count. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look()
      await sleep(everyMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Milliseconds; null before the first. */
  quantile(q: number, without: readonly Disturbance[] = []): number | null {
    const spans = without.map(disturbance => ({ ...disturbance, untilMs: this.#overMs(disturbance) }))
    const calm = this.#found.filter(({ takenMs }) => !spans.some(s => takenMs >= s.fromMs && takenMs <= s.untilMs))
    const sorted = calm.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
    return sorted.length === 0 ? null : Math.round(sorted[Math.ceil(q * sorted.length) - 1]! * 10) / 10
  }

  /** When the last reading of a disturbance was found. */
  #overMs({ fromMs, untilMs }: Disturbance): number {
    const late = this.#found.filter(({ takenMs }) => takenMs >= fromMs && takenMs <= untilMs)
    return late.reduce((last, { takenMs, latencyMs }) => Math.max(last, takenMs + latencyMs), untilMs)
  }

  async #look(): Promise<void> {
    const times = [...this.#awaited.values()].flatMap(one => [...one])
    if (times.length === 0) return
    const { rows } = await this.#pool.query<{ name: string; us: string }>(
      `select s.device || '/' || s.metric as name, (extract(epoch from r.ts) * 1000000)::bigint::text as us
         from series s, lateral readings(s.series_id, to_timestamp($2::float8 / 1e6) - interval '1 ms', 'infinity') r
        where s.device || '/' || s.metric = any($1)`,
      [[...this.#awaited.keys()], Math.min(...times)],
    )
    const nowMs = Date.now()
    for (const { name, us } of rows) {
      if (!this.#awaited.get(name)?.delete(Number(us))) continue
      const takenMs = Number(us) / 1000
      this.#found.push({ takenMs, latencyMs: nowMs - takenMs })
    }
  }
}
