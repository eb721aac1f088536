/**
 * Writing to the table of conflicts: batches whose identity the hub has with other contents. Each is written once, by whoever sees it
 * first; they go when the digests go that tell them.
 */
import type pg from 'pg'
import { keepDays } from './digest-tables.ts'
import type { Identity } from './identities.ts'

export interface Conflict extends Identity {
  /** Of the contents that the hub does not have. */
  readonly digest: Uint8Array
  readonly readings: number
}

/** `ingest` has told the gateway with a 409; what the `store` sees is told with later answers. */
export type SeenBy = 'ingest' | 'store'

/** Returns those that are new. */
export async function recordConflicts(
  db: pg.Pool | pg.PoolClient,
  seenBy: SeenBy,
  conflicts: readonly Conflict[],
): Promise<Conflict[]> {
  const fresh: Conflict[] = []
  for (const conflict of conflicts) {
    const { agentNo, epoch, seq, digest, readings } = conflict
    const { rowCount } = await db.query(
      `insert into conflict (agent_no, epoch, seq, digest, readings, seen_by) values ($1, $2, $3, $4, $5, $6)
       on conflict do nothing`,
      [agentNo, epoch, seq, Buffer.from(digest), readings, seenBy],
    )
    if (rowCount === 1) fresh.push(conflict)
  }
  return fresh
}

export async function deleteOldConflicts(pool: pg.Pool): Promise<void> {
  await pool.query('delete from conflict where at < now() - make_interval(days => $1)', [keepDays])
}
