/**
 * Numbers of series: (agent, device, metric) → series_id, made at first sight.
 *
 * Every consumer asks for itself, inside its own transaction, so none depends on another's progress. New rows are inserted in the
 * order of their names: two consumers that meet the same new series wait for each other in one order and cannot deadlock. Ids
 * of a transaction that is rolled back are void: do not keep them.
 */
import type { Pool, PoolClient } from 'pg'

export interface SeriesKey {
  readonly agentNo: number
  readonly device: string
  readonly metric: string
  /** Stored with a new series; the first one seen stays. */
  readonly unit: string
}

/** One id for each key, in the order of the keys. Keys may repeat. */
export async function resolveSeriesIds(tx: Pool | PoolClient, keys: readonly SeriesKey[]): Promise<number[]> {
  if (keys.length === 0) return []
  const known = await findSeries(tx, keys)
  if (known.some(id => id === null)) {
    const missing = keys.filter((_, i) => known[i] === null)
    // "do nothing" also waits for a rival's insert to commit; the next statement sees its row.
    await tx.query(
      `insert into series (agent_no, device, metric, unit)
       select distinct on (agent_no, device, metric) agent_no, device, metric, unit
       from unnest($1::int[], $2::text[], $3::text[], $4::text[]) with ordinality as k (agent_no, device, metric, unit, n)
       order by agent_no, device, metric, n
       on conflict (agent_no, device, metric) do nothing`,
      [...columnsOf(missing), missing.map(key => key.unit)],
    )
    const made = await findSeries(tx, missing)
    let next = 0
    for (let i = 0; i < known.length; i++) known[i] ??= made[next++] ?? null
  }
  return known.map((id, i) => {
    if (id === null) throw new Error(`series ${keys[i]?.device}/${keys[i]?.metric} was neither found nor made`)
    return id
  })
}

async function findSeries(tx: Pool | PoolClient, keys: readonly SeriesKey[]): Promise<(number | null)[]> {
  const { rows } = await tx.query<{ series_id: number | null }>(
    `select series_id
     from unnest($1::int[], $2::text[], $3::text[]) with ordinality as k (agent_no, device, metric, n)
     left join series using (agent_no, device, metric)
     order by n`,
    columnsOf(keys),
  )
  return rows.map(row => row.series_id)
}

function columnsOf(keys: readonly SeriesKey[]): [number[], string[], string[]] {
  return [keys.map(key => key.agentNo), keys.map(key => key.device), keys.map(key => key.metric)]
}
