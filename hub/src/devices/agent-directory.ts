/**
 * Who an agent is and which keys speak for it, remembered for a short time.
 *
 * Staleness: a revoked agent, or a key past its overlap, is refused at once by the hub that revoked it, and after `staleMs` by
 * every other. Bounded: the agents heard least recently are forgotten; agents that do not exist are never remembered.
 */
import type { KeyObject } from 'node:crypto'
import { publicKeyFromBytes } from '@tributary/shared/signature-keys'
import type { Pool } from 'pg'
import { coalesce } from './coalesce.ts'

/** How long an answer of the database is trusted, ms. */
export const staleMs = 5000
/** Agents remembered. About 500 bytes each. */
const defaultCapacity = 50_000

export interface AgentStanding {
  readonly agentNo: number
  readonly agentId: string
  readonly site: string
  readonly revoked: boolean
  /** Newest first; more than one while a rotation overlaps. */
  readonly keys: readonly KeyObject[]
}

interface Remembered {
  readonly standing: AgentStanding
  /** Raw keys, to use the imported ones again while they stay the same. */
  readonly rawKeys: string
  readonly untilMs: number
}

interface AgentRow {
  agent_no: number
  agent_id: string
  site: string
  revoked: boolean
  keys: Buffer[] | null
}

export class AgentDirectory {
  readonly #pool: Pool
  readonly #now: () => number
  readonly #capacity: number
  readonly #remembered = new Map<string, Remembered>()
  #forgotten = 0
  readonly #load: (agentId: string) => Promise<AgentRow | undefined>

  constructor(pool: Pool, now: () => number = () => performance.now(), capacity: number = defaultCapacity) {
    this.#pool = pool
    this.#now = now
    this.#capacity = capacity
    this.#load = coalesce(ids => this.#query(ids))
  }

  /** The agent of that id, or null. */
  async find(agentId: string): Promise<AgentStanding | null> {
    const known = this.#remembered.get(agentId)
    if (known !== undefined && known.untilMs > this.#now()) return known.standing
    const askedMs = this.#now()
    const askedAt = this.#forgotten
    const row = await this.#load(agentId)
    this.#remembered.delete(agentId)
    if (row === undefined) return null
    const rawKeys = (row.keys ?? []).map(key => key.toString('hex')).join()
    const standing: AgentStanding = {
      agentNo: row.agent_no,
      agentId,
      site: row.site,
      revoked: row.revoked,
      keys: known?.rawKeys === rawKeys ? known.standing.keys : (row.keys ?? []).map(publicKeyFromBytes),
    }
    // What was read before a `forget` may be what had to be forgotten: it answers this request, which began earlier, and no other.
    if (askedAt !== this.#forgotten) return standing
    if (this.#remembered.size >= this.#capacity) this.#remembered.delete(this.#remembered.keys().next().value!)
    this.#remembered.set(agentId, { standing, rawKeys, untilMs: askedMs + staleMs })
    return standing
  }

  /** Ask the database again the next time: its keys or its standing changed. */
  forget(agentId: string): void {
    this.#forgotten++
    this.#remembered.delete(agentId)
  }

  async #query(agentIds: readonly string[]): Promise<Map<string, AgentRow>> {
    const { rows } = await this.#pool.query<AgentRow>(
      `select a.agent_no, a.agent_id, a.site, a.revoked_at is not null as revoked,
              (select array_agg(k.public_key order by k.valid_from desc, k.public_key)
                 from agent_key k
                where k.agent_no = a.agent_no and (k.valid_until is null or k.valid_until > now())) as keys
         from agent a
        where a.agent_id = any($1)`,
      [agentIds],
    )
    return new Map(rows.map(row => [row.agent_id, row]))
  }
}
