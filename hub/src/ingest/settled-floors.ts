/**
 * How far the store has come with each agent's epoch: every seq below `settled` is stored or in the agent's ledger, `reached` is the
 * highest that is stored. They go into every answer; an agent that sees the floor fall, or stay below what it sent before something
 * that is stored, sends again what it still has.
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

export interface StoredSeqs {
  readonly settled: number
  readonly reached: number
}

const nothing: StoredSeqs = { settled: 1, reached: 0 }

export class SettledFloors {
  readonly #now: () => number
  readonly #known = new Map<string, { readonly seqs: StoredSeqs; readonly untilMs: number }>()
  readonly #load: (key: string) => Promise<StoredSeqs | undefined>

  constructor(pool: Pool, now: () => number = () => performance.now()) {
    this.#now = now
    this.#load = coalesce(keys => queryFloors(pool, keys))
  }

  async of(agentNo: number, epoch: number): Promise<StoredSeqs> {
    const key = `${agentNo}/${epoch}`
    const known = this.#known.get(key)
    if (known !== undefined && known.untilMs > this.#now()) return known.seqs
    const untilMs = this.#now() + staleMs
    const seqs = (await this.#load(key)) ?? nothing
    this.#known.delete(key)
    if (this.#known.size >= capacity) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(key, { seqs, untilMs })
    return seqs
  }
}

/** `agentNo/epoch` → the end of the first unbroken run from seq 1, and the highest seq. */
async function queryFloors(pool: Pool, keys: readonly string[]): Promise<Map<string, StoredSeqs>> {
  const pairs = keys.map(key => key.split('/').map(Number))
  const { rows } = await pool.query<StoredSeqs & { agent_no: number; epoch: number }>(
    `select r.agent_no, r.epoch, coalesce(upper(run), 1) as settled, coalesce(upper(r.seqs) - 1, 0) as reached
       from unnest($2::int[], $3::int8[]) as asked(agent_no, epoch)
       join received r using (agent_no, epoch)
       left join lateral (select run from unnest(r.seqs + r.lost) as run where run @> 1::int8) as from_one(run) on true
      where r.consumer = $1`,
    [consumer, pairs.map(([agentNo]) => agentNo), pairs.map(([, epoch]) => epoch)],
  )
  return new Map(rows.map(({ agent_no, epoch, settled, reached }) => [`${agent_no}/${epoch}`, { settled, reached }]))
}
