/** Anomalies that opened, rose or closed since the last look. */
import type { Pool } from 'pg'
import type { AnomalyRow } from '../../query/list-anomalies.ts'
import { recentAnomalies } from '../../query/recent-anomalies.ts'
import { anomalyJson } from '../anomaly-json.ts'
import { eventBytes } from './event-stream.ts'

export class AnomalyWatch {
  readonly #pool: Pool
  /** Id → what was last seen of it, for those written lately. */
  #seen = new Map<string, string>()

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** What is there now is not news. */
  async begin(): Promise<void> {
    this.#seen = seenOf(await recentAnomalies(this.#pool))
  }

  /** In the order in which they were written. */
  async poll(): Promise<Uint8Array[]> {
    const rows = await recentAnomalies(this.#pool)
    const changed = rows.filter(row => this.#seen.get(row.anomalyId) !== stateOf(row))
    this.#seen = seenOf(rows)
    return changed.reverse().map(row => eventBytes('anomaly', anomalyJson(row)))
  }
}

function seenOf(rows: readonly AnomalyRow[]): Map<string, string> {
  return new Map(rows.map(row => [row.anomalyId, stateOf(row)]))
}

function stateOf({ closedUs, surprise, severity }: AnomalyRow): string {
  return `${closedUs} ${surprise} ${severity}`
}
