/** What the hub's books say of one agent: rows, losses, conflicts, and where people see them. */
import type pg from 'pg'
import type { RunningHub } from '../../harness/stack.ts'

export interface Books {
  /** Readings in the ledger, at most. */
  readonly ledger: number
  /** Conflicts by who saw them first. */
  readonly seenByIngest: number
  readonly seenByStore: number
  /** Of those that only the store saw, the ones that the gateway has not sealed again. */
  readonly notResealed: number
  readonly deadLetters: number
}

export async function booksOf(pool: pg.Pool, agentId: string): Promise<Books> {
  const { rows } = await pool.query<Books>(
    `with a as (select agent_no from agent where agent_id = $1),
          c as (select * from conflict join a using (agent_no))
     select (select coalesce(sum(readings), 0)::float8 from loss join a using (agent_no)) as ledger,
            (select count(*)::int from c where seen_by = 'ingest') as "seenByIngest",
            (select count(*)::int from c where seen_by = 'store') as "seenByStore",
            (select count(*)::int from c where seen_by = 'store' and not exists (
               select from loss l where l.agent_no = c.agent_no and l.epoch = c.epoch and l.reason = 'resealed'
                                    and c.seq between l.from_seq and l.to_seq)) as "notResealed",
            (select count(*)::int from dead_letter join a using (agent_no) where reason = 'conflict') as "deadLetters"`,
    [agentId],
  )
  return rows[0]!
}

/** GET /v1/agents/{id}: what the page and the command line show. */
export async function conflictsShown(hub: RunningHub, agentId: string): Promise<number> {
  const answer = await fetch(`${hub.url}/v1/agents/${agentId}`, {
    headers: { authorization: `Bearer ${hub.adminKey}` },
  })
  return ((await answer.json()) as { conflicts: number }).conflicts
}
