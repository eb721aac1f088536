/**
 * The tables of a parent that is partitioned by time. A day each, or a month: where the parent asks for months, and for months that
 * were over for `monthAfterMs` when their first row came, so that a wild clock or an import of old data makes hundreds of tables at
 * most, not ten thousand.
 *
 * Made ahead for today and the two days after, and on demand: in a short transaction apart from the caller's, before it writes.
 */
import type { Database } from '../database/database.ts'
import { listPartitions, makePartition, type RangePartition } from '../database/partitions.ts'

const dayMs = 86_400_000
const monthAfterMs = 35 * dayMs

export interface TimeTablesOptions {
  readonly database: Database
  /** Its tables are called after it. */
  readonly parent: 'segment' | 'aggregate'
  readonly every: 'day' | 'month'
  readonly now?: (() => number) | undefined
}

export class TimeTables {
  private readonly parent: TimeTablesOptions['parent']
  private readonly every: TimeTablesOptions['every']
  private readonly database: Database
  private readonly now: () => number
  private known: readonly RangePartition[] = []
  /** One at a time, so that making tables takes one connection beside the callers' own. */
  private making: Promise<void> = Promise.resolve()

  constructor({ database, parent, every, now = Date.now }: TimeTablesOptions) {
    this.database = database
    this.parent = parent
    this.every = every
    this.now = now
  }

  /** Make sure that there is a table for each of these times. */
  async ensure(timesMs: Iterable<number>): Promise<void> {
    const days = new Set<number>()
    for (const time of timesMs) days.add(Math.floor(time / dayMs) * dayMs)
    const missing = [...days].filter(day => !this.has(day))
    if (missing.length === 0) return
    const made = this.making.then(() => this.make(missing))
    this.making = made.catch(() => undefined)
    await made
  }

  /** Today and the two days after. */
  async makeAhead(): Promise<void> {
    await this.ensure([0, 1, 2].map(ahead => this.now() + ahead * dayMs))
  }

  /** Tables were dropped: look again before the next use. */
  forget(): void {
    this.known = []
  }

  private has(day: number): boolean {
    return this.known.some(({ from, to }) => from.getTime() <= day && day < to.getTime())
  }

  private async make(days: readonly number[]): Promise<void> {
    this.known = await listPartitions(this.database, this.parent)
    for (const day of days) {
      if (this.has(day)) continue
      await makePartition(this.database, this.parent, this.tableFor(day))
      this.known = await listPartitions(this.database, this.parent)
    }
  }

  private tableFor(day: number): RangePartition {
    const date = new Date(day)
    const monthStart = Date.UTC(date.getUTCFullYear(), date.getUTCMonth())
    const monthEnd = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1)
    const digits = date.toISOString().slice(0, 10).replaceAll('-', '')
    const hasDays = this.known.some(({ from, to }) => from.getTime() < monthEnd && to.getTime() > monthStart)
    const isOld = monthEnd + monthAfterMs < this.now() && !hasDays
    if (this.every === 'month' || isOld) {
      return { name: `${this.parent}_${digits.slice(0, 6)}`, from: new Date(monthStart), to: new Date(monthEnd) }
    }
    return { name: `${this.parent}_${digits}`, from: date, to: new Date(day + dayMs) }
  }
}
