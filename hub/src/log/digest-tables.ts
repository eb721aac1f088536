/**
 * The tables of `batch_digest`, one a day of the database's clock: made ahead, and dropped after 30 days.
 *
 * A repeat that comes later than that is still recognised by its identity; only a conflict is no longer told from it.
 */
import type { Database } from '../database/database.ts'
import { dropPartition, listPartitions, makePartition } from '../database/partitions.ts'

const dayMs = 86_400_000
export const keepDays = 30
const checkEveryMs = 3_600_000

export class DigestTables {
  private readonly database: Database
  private checkedAt = Number.NEGATIVE_INFINITY

  constructor(database: Database) {
    this.database = database
  }

  /** Cheap when called often: looks once an hour, two days ahead. */
  async makeAhead(): Promise<void> {
    if (performance.now() - this.checkedAt < checkEveryMs) return
    const { rows } = await this.database.pool.query<{ now: Date }>('select now() as now')
    const today = Math.floor((rows[0]?.now.getTime() ?? Date.now()) / dayMs)
    for (const day of [today, today + 1, today + 2]) {
      const from = new Date(day * dayMs)
      const name = `batch_digest_${from.toISOString().slice(0, 10).replaceAll('-', '')}`
      await makePartition(this.database, 'batch_digest', { name, from, to: new Date((day + 1) * dayMs) })
    }
    for (const { name, to } of await listPartitions(this.database, 'batch_digest')) {
      if (to.getTime() <= (today - keepDays) * dayMs) await dropPartition(this.database, 'batch_digest', name)
    }
    this.checkedAt = performance.now()
  }
}
