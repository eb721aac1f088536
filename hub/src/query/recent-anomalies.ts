/**
 * Anomalies that were written lately, the last one first: whoever remembers what it saw finds among them what opened, rose or closed.
 *
 * A row is stamped with the start of its transaction and seen at its commit, so that one look after another must overlap by longer
 * than a transaction may last. Plan: `anomaly_updated` backwards.
 */
import type { Pool } from 'pg'
import { type AnomalyRow, selectAnomalies } from './list-anomalies.ts'

/** Four times what a statement may take. */
const lookBackS = 120
/** Seen at one look; more at once are left out, the oldest first. */
const most = 1000

export async function recentAnomalies(pool: Pool): Promise<AnomalyRow[]> {
  const { rows } = await pool.query<AnomalyRow>(
    `${selectAnomalies}
      where n.updated_at > now() - $1 * interval '1 second'
      order by n.updated_at desc, n.anomaly_id
      limit $2`,
    [lookBackS, most],
  )
  return rows
}
