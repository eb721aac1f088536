/**
 * How far the store has come with each agent's epoch: every seq below the floor is stored or in the agent's ledger. It goes into
 * every answer; an agent that sees it fall sends again what it still has.
 *
 * Read for all agents of one turn of the event loop in one query; an answer may be `staleMs` old. A floor that is older than an
 * append only looks lower than it is, never higher, and the agent heeds it only when it falls below an earlier answer.
 */
import type { Pool } from 'pg'
import { coalesce } from '../devices/coalesce.ts'

const staleMs = 1000
/** Epochs remembered. About 150 bytes each. */
const capacity = 50_000
/** The consumer whose floor agents hear of. */
const consumer = 'store'

export class SettledFloors {
  readonly #now: () => number
  readonly #known = new Map<string, { readonly floor: number; readonly untilMs: number }>()
  readonly #load: (key: string) => Promise<number | undefined>

  constructor(pool: Pool, now: () => number = () => performance.now()) {
    this.#now = now
    this.#load = coalesce(keys => queryFloors(pool, keys))
  }

  async of(agentNo: number, epoch: number): Promise<number> {
    const key = `${agentNo}/${epoch}`
    const known = this.#known.get(key)
    if (known !== undefined && known.untilMs > this.#now()) return known.floor
    const untilMs = this.#now() + staleMs
    const floor = (await this.#load(key)) ?? 1
    this.#known.delete(key)
    if (this.#known.size >= capacity) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(key, { floor, untilMs })
    return floor
  }
}

/** `agentNo/epoch` → the end of the first unbroken run from seq 1. */
async function queryFloors(pool: Pool, keys: readonly string[]): Promise<Map<string, number>> {
  const pairs = keys.map(key => key.split('/').map(Number))
  const { rows } = await pool.query<{ agent_no: number; epoch: number; floor: number }>(
    `select r.agent_no, r.epoch, upper(run) as floor
       from unnest($2::int[], $3::int8[]) as asked(agent_no, epoch)
       join received r using (agent_no, epoch)
       cross join lateral (select run from unnest(r.seqs + r.lost) as run where run @> 1::int8) as from_one(run)
      where r.consumer = $1`,
    [consumer, pairs.map(([agentNo]) => agentNo), pairs.map(([, epoch]) => epoch)],
  )
  return new Map(rows.map(row => [`${row.agent_no}/${row.epoch}`, row.floor]))
}
