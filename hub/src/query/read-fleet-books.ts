/**
 * The books of all agents together, for the metrics. Plan: every row of `agent`, `received` and `loss` once; some ten thousand rows.
 */
import type { Pool } from 'pg'
import { countSeqs, missingSeqs } from './settled-seqs.ts'

export interface FleetBooks {
  /** What became of readings, as the agents' newest batches tell it: accepted, stored, … */
  readonly fates: Readonly<Record<string, number>>
  /** Neither here nor reported lost, and the agents hold them no longer. */
  readonly missingBatches: number
  /** Readings in the agents' ledgers, as far as they told. */
  readonly lostReadings: number
}

export async function readFleetBooks(pool: Pool): Promise<FleetBooks> {
  const { rows } = await pool.query<FleetBooks>(
    `select (select coalesce(jsonb_object_agg(fate, readings), '{}')
               from (select fate, sum(count::int8)::int8 as readings
                       from agent, jsonb_each_text(counters) as told (fate, count)
                      where fate <> 'classes' group by fate) summed) as fates,
            (select coalesce(sum(${countSeqs(missingSeqs('r'))}), 0)::int8
               from received r where r.consumer = 'store') as "missingBatches",
            (select coalesce(sum(readings), 0)::int8 from loss) as "lostReadings"`,
  )
  return rows[0]!
}
