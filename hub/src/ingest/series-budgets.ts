/**
 * How many series each agent has, so that a runaway device cannot fill the registry.
 *
 * Approximate on purpose: an agent's names are read from the database when its first batch arrives, then kept here; several hub
 * replicas each admit from what they have seen, so together they may overshoot. The exact bound is the store's. Memory is bounded
 * by `maxNames` over all agents: the agents heard least recently are forgotten and read again.
 */
import type { Pool } from 'pg'
import type { SeriesBudget } from './judge.ts'

/** Series of one agent, by default. */
export const defaultMaxSeriesPerAgent = 10_000
/** Names held over all agents. */
const defaultMaxNames = 1_000_000

export class SeriesBudgets {
  readonly #pool: Pool
  readonly #perAgent: number
  readonly #maxNames: number
  readonly #agents = new Map<number, Promise<Set<string>>>()
  readonly #sizes = new Map<number, number>()
  #names = 0

  constructor(pool: Pool, perAgent: number = defaultMaxSeriesPerAgent, maxNames: number = defaultMaxNames) {
    this.#pool = pool
    this.#perAgent = perAgent
    this.#maxNames = maxNames
  }

  /** The budget of one agent, read from the database the first time. */
  async of(agentNo: number): Promise<SeriesBudget> {
    const known = this.#agents.get(agentNo) ?? this.#load(agentNo)
    // Set again: the map's order is the order of use.
    this.#agents.delete(agentNo)
    this.#agents.set(agentNo, known)
    const names = await known
    return { admit: (device, metric) => this.#admit(agentNo, names, `${device}\0${metric}`) }
  }

  #admit(agentNo: number, names: Set<string>, name: string): boolean {
    if (names.has(name)) return true
    if (names.size >= this.#perAgent) return false
    names.add(name)
    if (this.#agents.has(agentNo)) this.#resize(agentNo, names.size)
    return true
  }

  async #load(agentNo: number): Promise<Set<string>> {
    try {
      const { rows } = await this.#pool.query<{ device: string; metric: string }>(
        'select device, metric from series where agent_no = $1 limit $2',
        [agentNo, this.#perAgent],
      )
      const names = new Set(rows.map(row => `${row.device}\0${row.metric}`))
      this.#resize(agentNo, names.size)
      return names
    } catch (error) {
      this.#agents.delete(agentNo)
      throw error
    }
  }

  /** Count an agent's names, and forget the agents heard least recently while there are too many. */
  #resize(agentNo: number, size: number): void {
    this.#names += size - (this.#sizes.get(agentNo) ?? 0)
    this.#sizes.set(agentNo, size)
    for (const other of this.#agents.keys()) {
      if (this.#names <= this.#maxNames) return
      if (other === agentNo) continue
      this.#names -= this.#sizes.get(other) ?? 0
      this.#sizes.delete(other)
      this.#agents.delete(other)
    }
  }
}
