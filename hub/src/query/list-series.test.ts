// A page of ten thousand series with their newest readings reads as many rows as it shows.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { makeAgents } from '../log/test-batches.ts'
import { listSeries, listSeriesSql } from './list-series.ts'

let database: Database
beforeAll(async () => {
  database = await testDatabase()
  await makeAgents(database)
  await database.pool.query(
    `insert into series (agent_no, device, metric) select 1, 'press-' || i, 'temp' from generate_series(1, 10000) i;
     insert into series_latest select series_id, 1, series_id, 1, null, 0 from series;
     insert into anomaly (anomaly_id, series_id, detector, opened_us, closed_us, surprise, score, severity, stream, seen_before, learning)
     select gen_random_uuid(), 1 + i % 10000, 'lite', i, case when i % 10 > 0 then i end, 1, 1, 'warning', 'value', 0, false
       from generate_series(1, 20000) i;
     analyze`,
  )
})
afterAll(() => database.close())

test('the newest reading is looked up by primary key and open anomalies in their index, for the page alone', async () => {
  const { text, values } = listSeriesSql({ limit: 100, afterId: 5000 })
  const { rows } = await database.pool.query<{ 'QUERY PLAN': string }>(
    `explain (analyze, timing off, summary off, buffers off) ${text}`,
    values,
  )
  const plan = rows.map(row => row['QUERY PLAN']).join('\n')
  expect(plan).not.toMatch(/Seq Scan on (series|anomaly|segment)/)
  expect(plan).toMatch(/anomaly_open/)
  for (const [, actual] of plan.matchAll(/series\w* \w+ .*actual rows=(\d+)/g))
    expect(Number(actual)).toBeLessThanOrEqual(100)
})

test('a page after a page gives all of them', async () => {
  const seen: number[] = []
  for (let afterId = 0; ; ) {
    const rows = await listSeries(database.pool, { limit: 1000, afterId })
    if (rows.length === 0) break
    seen.push(...rows.map(({ seriesId }) => seriesId))
    expect(rows.every(row => row.latestUs === row.seriesId)).toBe(true)
    afterId = rows.at(-1)!.seriesId
  }
  expect(seen).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1))
})
