/**
 * The conflicts that only the store saw: their batches were answered 200, because ingest did not know then what the hub has under
 * their identity (it had just started, or another replica had taken the other batch). Every answer to the agent names some of them;
 * whoever holds a batch of that digest seals it again. A clone that holds another one under the same identity passes it over.
 *
 * Told until the agent's ledger says that the batch was sealed again, at most for a day: no gateway keeps copies for longer. Read for
 * all agents of one turn of the event loop in one query; an answer may be `staleMs` old.
 */
import { type BatchConflict, maxToldConflicts } from '@tributary/shared/protocol'
import type { Pool } from 'pg'
import { coalesce } from '../devices/coalesce.ts'

const staleMs = 1000
/** Agents remembered. About 100 bytes each, as nearly none has a conflict. */
const capacity = 50_000
const none: readonly BatchConflict[] = []

export class UntoldConflicts {
  readonly #now: () => number
  readonly #known = new Map<number, { readonly conflicts: readonly BatchConflict[]; readonly untilMs: number }>()
  readonly #load: (agentNo: number) => Promise<readonly BatchConflict[] | undefined>

  constructor(pool: Pool, now: () => number = Date.now) {
    this.#now = now
    this.#load = coalesce(agents => query(pool, agents))
  }

  /** At most `maxToldConflicts`; of more than that others each time. */
  async of(agentNo: number): Promise<readonly BatchConflict[]> {
    const known = this.#known.get(agentNo)
    if (known !== undefined && known.untilMs > this.#now()) return known.conflicts
    const untilMs = this.#now() + staleMs
    const conflicts = (await this.#load(agentNo)) ?? none
    this.#known.delete(agentNo)
    if (this.#known.size >= capacity) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(agentNo, { conflicts, untilMs })
    return conflicts
  }
}

/** Plan: primary key of each agent; its rows in `loss` only for what is found. */
async function query(pool: Pool, agents: readonly number[]): Promise<Map<number, BatchConflict[]>> {
  const { rows } = await pool.query<{ agent_no: number; epoch: number; seq: number; digest: string }>(
    `select agent_no, epoch, seq, encode(digest, 'hex') as digest
       from (select c.*, row_number() over (partition by agent_no order by random()) as n
               from conflict c
              where agent_no = any($1::int[]) and seen_by = 'store' and at > now() - interval '1 day'
                and not exists (select from loss l
                                 where l.agent_no = c.agent_no and l.epoch = c.epoch and l.reason = 'resealed'
                                   and c.seq between l.from_seq and l.to_seq and l.reported_at >= c.at)) untold
      where n <= $2`,
    [agents, maxToldConflicts],
  )
  const byAgent = new Map<number, BatchConflict[]>()
  for (const { agent_no, ...conflict } of rows) byAgent.set(agent_no, [...(byAgent.get(agent_no) ?? []), conflict])
  return byAgent
}
