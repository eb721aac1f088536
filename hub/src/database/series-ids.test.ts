import { expect, test } from 'vitest'
import { resolveSeriesIds, type SeriesKey } from './series-ids.ts'
import { testDatabase } from './test-database.ts'

function key(metric: string, unit = '', device = 'pump'): SeriesKey {
  return { agentNo: 1, device, metric, unit }
}

async function databaseWithAgent() {
  const database = await testDatabase()
  await database.pool.query(`insert into agent (agent_id, site, name) values ('ag-1', 'site', 'one')`)
  return database
}

test('series get their ids at first sight and keep them', async () => {
  await using database = await databaseWithAgent()
  const first = await database.transaction(tx => resolveSeriesIds(tx, [key('a'), key('b')]))
  const again = await database.transaction(tx => resolveSeriesIds(tx, [key('b'), key('c'), key('a')]))
  expect(new Set(first).size).toBe(2)
  expect([again[2], again[0]]).toEqual(first)
  expect(again[1]).not.toBe(first[0])
})

test('a key that stands twice gets one series, with the unit seen first', async () => {
  await using database = await databaseWithAgent()
  const ids = await database.transaction(tx => resolveSeriesIds(tx, [key('a', 'bar'), key('b'), key('a', 'Pa')]))
  expect(ids[0]).toBe(ids[2])
  const { rows } = await database.pool.query(`select unit from series where metric = 'a'`)
  expect(rows).toEqual([{ unit: 'bar' }])
})

test('two transactions that meet the same new series in opposite order both succeed with the same ids', async () => {
  await using database = await databaseWithAgent()
  const keys = Array.from({ length: 200 }, (_, i) => key(`m${i}`))
  const [one, other] = await Promise.all([
    database.transaction(tx => resolveSeriesIds(tx, keys)),
    database.transaction(tx => resolveSeriesIds(tx, keys.toReversed())),
  ])
  expect(other.toReversed()).toEqual(one)
})

test('no keys, no question', async () => {
  await using database = await testDatabase({ empty: true })
  expect(await resolveSeriesIds(database.pool, [])).toEqual([])
})
