/**
 * A fresh, migrated database for one test, on the run's embedded Postgres: `await using database = await testDatabase()`.
 *
 * Made from a template that is migrated once a run, so that it costs a file copy; dropped when disposed.
 */
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import { inject } from 'vitest'
import { connectDatabase, type Database, type PoolOptions } from './database.ts'
import { migrate, readMigrations } from './migrate.ts'

/** `empty`: without the schema. */
export async function testDatabase(options: PoolOptions & { readonly empty?: boolean } = {}): Promise<Database> {
  const server = await serverConnectionString()
  const name = `test_${randomBytes(8).toString('hex')}`
  await administer(server, async client => {
    const template = options.empty === true ? 'template0' : await migratedTemplate(client, server)
    await client.query(`create database ${name} template ${template} strategy file_copy`)
  })
  const database = connectDatabase(onDatabase(server, name), { connections: 5, ...options })
  const close = async () => {
    if (database.pool.ended) return
    await database.close()
    await administer(server, client => client.query(`drop database if exists ${name} with (force)`))
  }
  return { ...database, close, [Symbol.asyncDispose]: close }
}

async function serverConnectionString(): Promise<string> {
  const answer = await text(connect(inject('tributaryPostgresPort'), '127.0.0.1'))
  if (!answer.startsWith('postgres://')) throw new Error(`no test database: ${answer}`)
  return answer
}

/** One worker makes the template while the others wait. */
async function migratedTemplate(client: pg.Client, server: string): Promise<string> {
  const migrations = readMigrations()
  const name = `template_${createHash('sha256')
    .update(migrations.map(m => m.checksum).join())
    .digest('hex')
    .slice(0, 16)}`
  await client.query('select pg_advisory_lock(1)')
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
    if (rowCount === 0) {
      await client.query('drop database if exists template_unfinished with (force)')
      await client.query('create database template_unfinished template template0')
      await migrate(onDatabase(server, 'template_unfinished'), migrations)
      await client.query(`alter database template_unfinished rename to ${name}`)
    }
    return name
  } finally {
    await client.query('select pg_advisory_unlock(1)')
  }
}

async function administer<T>(server: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: server, application_name: 'tributary test' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function onDatabase(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}
