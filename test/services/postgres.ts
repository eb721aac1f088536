/**
 * Debian's Postgres, as the hub runs its own: on loopback with a password, never as root, with fsync.
 *
 * Started by root it runs as another account. Where that account cannot enter the folder (a 0700 home), the data stands below
 * /var/tmp instead: Postgres 15 leaves its working folder while it looks for its own programs, and must find its way back.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { TributaryError } from '@tributary/shared/errors'
import pg from 'pg'
import { postgresAccount } from '../../hub/src/database/postgres-account.ts'
import { canEnter, type PostgresTree } from '../../hub/src/database/postgres-tree.ts'
import {
  checkVersion,
  findPostmaster,
  makeHome,
  type PostgresHome,
  readPassword,
  startPostmaster,
  stopPostmaster,
  superuser,
} from '../../hub/src/database/postmaster.ts'
import { requireProgram } from '../system/requirements.ts'
import { answers } from './daemon.ts'
import type { Service, ServiceStatus } from './service.ts'

const database = 'tributary'

export interface PostgresOptions {
  readonly folder: string
  readonly port: number
}

export class PostgresService implements Service {
  readonly name = 'postgres'
  readonly programs = ['initdb']
  private readonly port: number
  private readonly folder: string

  constructor({ folder, port }: PostgresOptions) {
    this.port = port
    const account = postgresAccount(join(folder, 'home/data'))
    this.folder = account === null || canEnter(folder, account) ? folder : elsewhere(folder)
  }

  /** Carries the password. */
  get url(): string {
    const { folder, port } = this
    return `postgres://${superuser}:${readPassword(join(folder, 'home'))}@127.0.0.1:${port}/${database}`
  }

  async start(report: (step: string) => void): Promise<void> {
    const { folder, port } = this
    mkdirSync(folder, { recursive: true })
    const data = join(folder, 'home/data')
    const at: PostgresHome = {
      home: join(folder, 'home'),
      data,
      account: postgresAccount(data),
      tree: await findTree(),
    }
    await makeHome(at, report)
    await checkVersion(at)
    if (findPostmaster(data) === null) {
      if (await answers(port))
        throw new TributaryError('in-use', `Postgres needs port ${port}, which another process listens on`, {
          hint: `See who does: ss -ltnp 'sport = :${port}'`,
        })
      report('starting Postgres')
      await startPostmaster(at, port, 32)
    }
    await this.createDatabase()
  }

  async stop(): Promise<void> {
    const found = findPostmaster(join(this.folder, 'home/data'))
    if (found !== null) await stopPostmaster(found.pid)
  }

  status(): ServiceStatus {
    const { folder, port } = this
    const home = join(folder, 'home')
    const found = findPostmaster(join(home, 'data'))
    return {
      name: this.name,
      running: found !== null && found.port > 0,
      pids: found === null ? [] : [found.pid],
      ports: { postgres: port },
      folder,
      address: `postgres://${superuser}@127.0.0.1:${port}/${database} (password in ${join(home, 'password')})`,
    }
  }

  private async createDatabase(): Promise<void> {
    const url = new URL(this.url)
    url.pathname = '/postgres'
    const client = new pg.Client({ connectionString: url.href })
    await client.connect()
    try {
      const { rowCount } = await client.query('select from pg_database where datname = $1', [database])
      if (rowCount === 0) await client.query(`create database ${database}`)
    } finally {
      await client.end()
    }
  }
}

function elsewhere(folder: string): string {
  return join('/var/tmp/tributary-services', createHash('sha256').update(folder).digest('hex').slice(0, 16))
}

/** Where the programs stand, and what PG_VERSION of their data folders says. */
async function findTree(): Promise<PostgresTree> {
  const initdb = realpathSync(requireProgram('initdb'))
  const { stdout } = await promisify(execFile)(initdb, ['--version'])
  const major = /(\d+)/.exec(stdout)?.[1] ?? ''
  return { bin: dirname(initdb), major }
}
