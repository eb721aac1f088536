/**
 * The recalls that go out in answers. All that are under way are read at most every `staleMs`, when a batch comes, in one query for all
 * agents: a recall reaches its agent with the first batch later than that. One that is done may go out for as long once more; the agent
 * knows it by its id.
 *
 * Bounded by `maxOpenRecalls` an agent (devices/recalls.ts). When the database does not answer, what is known goes out.
 */
import { maxRecallsInAnswer, type Recall } from '@tributary/shared/protocol'
import type { Pool } from 'pg'

const staleMs = 2000
const none: readonly Recall[] = []

interface OpenRow extends Recall {
  readonly agentNo: number
  readonly sent: boolean
}

export class OpenRecalls {
  readonly #pool: Pool
  readonly #now: () => number
  #byAgent: ReadonlyMap<number, readonly OpenRow[]> = new Map()
  #untilMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | null = null
  /** Marked as sent by this process. */
  readonly #sent = new Set<number>()

  constructor(pool: Pool, now: () => number = Date.now) {
    this.#pool = pool
    this.#now = now
  }

  /** The oldest recalls of an agent that are under way; they count as sent from here on. */
  async of(agentNo: number): Promise<readonly Recall[]> {
    if (this.#now() >= this.#untilMs) {
      this.#reading ??= this.#read().then(
        () => this.#settle(),
        () => this.#settle(),
      )
      await this.#reading
    }
    const open = this.#byAgent.get(agentNo)
    if (open === undefined) return none
    const given = open.slice(0, maxRecallsInAnswer)
    await this.#markSent(given.filter(({ id, sent }) => !sent && !this.#sent.has(id)).map(({ id }) => id))
    return given.map(({ id, device, metric, fromUs, toUs }) => ({ id, device, metric, fromUs, toUs }))
  }

  /** Read or not: the batch of the answer is durable, which no failure here may hide. The next look is after `staleMs` again. */
  #settle(): void {
    this.#reading = null
  }

  /** Plan: `recall_open`, which holds no more than what is under way. */
  async #read(): Promise<void> {
    this.#untilMs = this.#now() + staleMs
    const { rows } = await this.#pool.query<OpenRow>(
      `select agent_no as "agentNo", recall_id as id, device, metric, from_us as "fromUs", to_us as "toUs", sent_at is not null as sent
         from recall where done_at is null order by agent_no, recall_id`,
    )
    this.#byAgent = Map.groupBy(rows, ({ agentNo }) => agentNo)
    const open = new Set(rows.map(({ id }) => id))
    for (const id of this.#sent) if (!open.has(id)) this.#sent.delete(id)
  }

  async #markSent(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return
    for (const id of ids) this.#sent.add(id)
    try {
      await this.#pool.query('update recall set sent_at = now() where recall_id = any($1) and sent_at is null', [ids])
    } catch {
      // Marked with the next answer instead: this one goes out whatever the database does.
      for (const id of ids) this.#sent.delete(id)
    }
  }
}
