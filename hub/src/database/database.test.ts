import { expect, test } from 'vitest'
import { openDatabase } from './database.ts'
import { testDatabase } from './test-database.ts'

test('a transaction that throws leaves nothing behind', async () => {
  await using database = await testDatabase()
  const failing = database.transaction(async tx => {
    await tx.query(`insert into agent (agent_id, site, name) values ('ag-1', 'site', 'one')`)
    throw new Error('stop')
  })
  await expect(failing).rejects.toThrow('stop')
  const { rows } = await database.pool.query('select count(*) as n from agent')
  expect(rows).toEqual([{ n: 0 }])
})

test('int8 is a number while it is a safe integer, and throws beyond', async () => {
  await using database = await testDatabase({ empty: true })
  const { rows } = await database.pool.query(`select ${Number.MAX_SAFE_INTEGER}::int8 as n`)
  expect(rows).toEqual([{ n: Number.MAX_SAFE_INTEGER }])
  await expect(database.pool.query('select 9007199254740993::int8 as n')).rejects.toThrow('not a safe integer')
})

test('a connection cut by the server ends its transaction as unavailable, and the pool goes on', async () => {
  await using database = await testDatabase({ empty: true })
  const cut = database.transaction(async tx => {
    await tx.query('select pg_terminate_backend(pg_backend_pid())')
  })
  await expect(cut).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  expect((await database.pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('two databases of one run do not see each other', async () => {
  await using one = await testDatabase()
  await using two = await testDatabase()
  await one.pool.query(`insert into agent (agent_id, site, name) values ('ag-1', 'site', 'one')`)
  expect((await two.pool.query('select count(*) as n from agent')).rows).toEqual([{ n: 0 }])
})

test('a server that acknowledges before it is durable is refused, with the setting to change', async () => {
  await using database = await testDatabase({ empty: true })
  const { rows } = await database.pool.query<{ name: string }>('select current_database() as name')
  await database.pool.query(`alter database ${rows[0]?.name} set synchronous_commit = off`)
  await expect(openDatabase({ url: database.connectionString })).rejects.toMatchObject({
    code: 'config',
    hint: expect.stringContaining('= on'),
  })
})
