/**
 * Tables of a range-partitioned parent, made and dropped without holding up those who read and write it.
 *
 * A table is made apart and then attached (SHARE UPDATE EXCLUSIVE on the parent: readers and writers go on), always in a short
 * transaction of its own. Two that make the same table at once end with one.
 */
import pg from 'pg'
import type { Database } from './database.ts'

export interface RangePartition {
  /** Table name: lower-case letters, digits and _. */
  readonly name: string
  readonly from: Date
  /** Exclusive. */
  readonly to: Date
}

/** Make `partition` of `parent` unless it is there. Storage options as in `with (…)`. */
export async function makePartition(database: Database, parent: string, partition: RangePartition): Promise<void> {
  const { name } = partition
  if (!/^[a-z0-9_]+$/.test(name) || !/^[a-z0-9_]+$/.test(parent)) throw new Error(`odd table name ${name} or ${parent}`)
  try {
    await database.transaction(async tx => {
      await tx.query(`select pg_advisory_xact_lock(hashtext($1))`, [parent])
      const { rows } = await tx.query<{ there: boolean }>('select to_regclass($1) is not null as there', [name])
      if (rows[0]?.there === true) return
      await tx.query(
        `create table ${name} (like ${parent} including defaults including constraints including storage including compression)`,
      )
      await tx.query(
        `alter table ${parent} attach partition ${name} for values from ('${partition.from.toISOString()}') to ('${partition.to.toISOString()}')`,
      )
    })
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '42P07') throw error
  }
}

/** The parent's tables in order of their lower bound. */
export async function listPartitions(database: Database, parent: string): Promise<RangePartition[]> {
  const { rows } = await database.pool.query<{ name: string; from: Date; to: Date }>(
    `select name, (bounds[1])::timestamptz as "from", (bounds[2])::timestamptz as "to"
     from (
       select c.relname as name, regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''(.+)''\\) TO \\(''(.+)''\\)') as bounds
       from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = $1::regclass
     ) tables
     where bounds is not null
     order by 2`,
    [parent],
  )
  return rows
}

/**
 * Drop a table of `parent`, if `check` still says so once nobody writes: new writers wait for the transaction, and it waits for
 * those at work. Gives up after a second behind them or behind long readers (55P03): the caller tries again at its next round.
 */
export async function dropPartition(
  database: Database,
  parent: string,
  name: string,
  check: (tx: pg.PoolClient) => Promise<boolean> = async () => true,
): Promise<boolean> {
  return await database.transaction(async tx => {
    await tx.query(`set local lock_timeout = '1s'`)
    await tx.query(`lock table only ${pg.escapeIdentifier(parent)} in access exclusive mode`)
    if (!(await check(tx))) return false
    await tx.query(`drop table if exists ${pg.escapeIdentifier(name)}`)
    return true
  })
}
