import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { makeAgents } from '../log/test-batches.ts'
import { OpenRecalls } from './open-recalls.ts'

let database: Database
let nowMs = 0
beforeEach(async () => {
  database = await testDatabase()
  await makeAgents(database, 2)
  await database.pool.query(
    `insert into recall (agent_no, device, metric, from_us, to_us) values (1, 'pump', 'flow', 10, 20)`,
  )
})
afterEach(() => database.close())

const recall = { id: 1, device: 'pump', metric: 'flow', fromUs: 10, toUs: 20 }
const sent = async () => (await database.pool.query('select sent_at from recall')).rows[0].sent_at !== null

test('a recall goes to its agent alone, and counts as sent', async () => {
  const recalls = new OpenRecalls(database.pool, () => nowMs)
  expect(await recalls.of(2)).toEqual([])
  expect(await sent()).toBe(false)
  expect(await recalls.of(1)).toEqual([recall])
  expect(await sent()).toBe(true)
})

test('while the tables are away, answers carry what is known, and what was given is marked later', async () => {
  const recalls = new OpenRecalls(database.pool, () => nowMs)
  expect(await recalls.of(2)).toEqual([])
  await database.pool.query('alter table recall rename to away')
  expect(await recalls.of(1)).toEqual([recall])
  nowMs += 2000
  expect(await recalls.of(1)).toEqual([recall])
  await database.pool.query('alter table away rename to recall')
  expect(await sent()).toBe(false)
  expect(await recalls.of(1)).toEqual([recall])
  expect(await sent()).toBe(true)
})
