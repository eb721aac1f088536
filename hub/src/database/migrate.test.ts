import { expect, test } from 'vitest'
import { type Migration, migrate, readMigrations } from './migrate.ts'
import { testDatabase } from './test-database.ts'

const one: Migration = { version: 1, name: 'one', sql: 'create table one (id int)', checksum: 'a' }
const two: Migration = { version: 2, name: 'two', sql: 'create table two (id int)', checksum: 'b' }

test('migrations are applied once, in the order of their numbers', async () => {
  await using database = await testDatabase({ empty: true })
  expect(await migrate(database.connectionString, [one])).toEqual([1])
  expect(await migrate(database.connectionString, [one, two])).toEqual([2])
  expect(await migrate(database.connectionString, [one, two])).toEqual([])
})

test('a migration that fails half-way leaves nothing behind', async () => {
  await using database = await testDatabase({ empty: true })
  const broken = { ...two, sql: 'create table two (id int); select 1 / 0' }
  await expect(migrate(database.connectionString, [one, broken])).rejects.toThrow('migration 2 (two) failed')
  const { rows } = await database.pool.query(
    `select to_regclass('one') is null as one, to_regclass('two') is null as two`,
  )
  expect(rows).toEqual([{ one: false, two: true }])
})

test('a database newer than the program is refused', async () => {
  await using database = await testDatabase({ empty: true })
  await migrate(database.connectionString, [one, two])
  await expect(migrate(database.connectionString, [one])).rejects.toMatchObject({ code: 'unsupported-version' })
})

test('a migration changed after it was applied is refused', async () => {
  await using database = await testDatabase({ empty: true })
  await migrate(database.connectionString, [one])
  await expect(migrate(database.connectionString, [{ ...one, checksum: 'c' }])).rejects.toMatchObject({
    code: 'conflict',
  })
})

test('two programs that migrate at once apply each migration once', async () => {
  await using database = await testDatabase({ empty: true })
  const applied = await Promise.all([1, 2, 3].map(() => migrate(database.connectionString, [one, two])))
  expect(applied.flat().sort()).toEqual([1, 2])
})

test('the shipped migrations have distinct numbers and apply to an empty database', async () => {
  await using database = await testDatabase({ empty: true })
  const numbers = readMigrations().map(({ version }) => version)
  expect(await migrate(database.connectionString)).toEqual(numbers)
})
