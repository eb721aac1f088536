/**
 * Vitest global set-up: one embedded Postgres a run, started when the first test asks for it, stopped and removed at the end.
 *
 * Test workers are processes of their own: they ask over a loopback socket, whose port is provided to them, and are told the
 * connection string.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '@tributary/shared/errors'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { EmbeddedPostgres } from './embedded-postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Loopback port that answers every connection with the run's connection string. */
    tributaryPostgresPort: number
  }
}

/** Without fsync, which only this set-up turns off: these databases end with the run, and making one takes 15 ms in place of 300. */
async function start(dataDir: string): Promise<EmbeddedPostgres> {
  const postgres = await EmbeddedPostgres.start({ dataDir })
  const client = new pg.Client({ connectionString: postgres.connectionString() })
  await client.connect()
  await client.query('alter system set fsync = off')
  await client.query('select pg_reload_conf()')
  await client.end()
  return postgres
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tributary-test-'))
  let postgres: Promise<EmbeddedPostgres> | null = null
  const answer = async (socket: Socket) => {
    socket.on('error', () => socket.destroy())
    try {
      postgres ??= start(dataDir)
      socket.end((await postgres).connectionString('postgres'))
    } catch (error) {
      socket.end(`error: ${messageOf(error)}`)
    }
  }
  const server = createServer(socket => void answer(socket))
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  project.provide('tributaryPostgresPort', typeof address === 'object' && address !== null ? address.port : 0)
  return async () => {
    server.close()
    await (await postgres)?.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}
