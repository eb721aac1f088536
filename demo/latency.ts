/**
 * From the moment in which a reading is taken until SQL finds it: for some series, by asking every few milliseconds for the readings
 * that were not found yet.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import type { SentReading } from '../firmware-sim/src/transports/transport.ts'

const everyMs = 20

export interface Found {
  /** When the reading was taken, ms since 1970. */
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

  /** Looks until the signal fires; what was not found by then does not count. A look that the database does not answer is left out. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look().catch(() => undefined)
      await sleep(everyMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Milliseconds; null before the first. */
  quantile(q: number, without: readonly Disturbance[] = []): number | null {
    return latencyQuantile(this.#found, q, without)
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

/** Nearest rank, without what was taken in a disturbance: until its cause was over and all of its readings were found. */
export function latencyQuantile(found: readonly Found[], q: number, without: readonly Disturbance[]): number | null {
  const spans = without.map(({ fromMs, untilMs }) => ({ fromMs, untilMs: recoveredMs(found, { fromMs, untilMs }) }))
  const calm = found.filter(({ takenMs }) => !spans.some(span => takenMs >= span.fromMs && takenMs <= span.untilMs))
  const sorted = calm.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
  return sorted.length === 0 ? null : Math.round(sorted[Math.ceil(q * sorted.length) - 1]! * 10) / 10
}

function recoveredMs(found: readonly Found[], { fromMs, untilMs }: Disturbance): number {
  const late = found.filter(({ takenMs }) => takenMs >= fromMs && takenMs <= untilMs)
  return late.reduce((last, { takenMs, latencyMs }) => Math.max(last, takenMs + latencyMs), untilMs)
}
