/**
 * A real Postgres that the hub runs as a child process: for a laptop or a single box.
 *
 * - Never reachable from outside: 127.0.0.1, SCRAM with a random password in a 0600 file, no Unix socket.
 * - Outlives a killed hub; the next hub adopts it (a live server of the folder, proved by its pid file read back through SQL).
 * - A server that dies while the hub runs is started again on the same port. It is stopped last, by its pid.
 * - Two hubs on one folder: an advisory lock decides, the second gets `in-use`. A command beside a running hub asks for `share`.
 */
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import { fullJitterMs } from '@tributary/shared/retry'
import pg from 'pg'
import { postgresAccount } from './postgres-account.ts'
import { postgresTree } from './postgres-tree.ts'
import {
  boundLog,
  checkVersion,
  findPostmaster,
  isAlive,
  makeHome,
  type PostgresHome,
  type Postmaster,
  readPassword,
  startPostmaster,
  stopPostmaster,
  stoppedWhileStarting,
  superuser,
} from './postmaster.ts'

export interface EmbeddedPostgresOptions {
  /** The hub's data folder; the server's files stand in `postgres/` below it. */
  readonly dataDir: string
  /** TCP port; 0, the default, takes a free one. An adopted server keeps its own. */
  readonly port?: number
  /** Default 96. */
  readonly sharedBuffersMb?: number
  /** Use a server that another process owns, without the lock and without stopping it. Default false. */
  readonly share?: boolean
  /** A line for people at every step that may take a while. */
  readonly report?: (step: string) => void
  /** Ends a start that is under way: it throws `aborted`, and nothing that it started runs on. */
  readonly signal?: AbortSignal
  /** The server died and could not be started again, or the folder was taken by another hub: the hub has to stop. */
  readonly onFailed?: (error: TributaryError) => void
}

const lockKey = [0x7472_6962, 1] as const
const watchMs = 500
const restartTries = 8

export class EmbeddedPostgres {
  private readonly at: PostgresHome
  private readonly options: EmbeddedPostgresOptions
  private server: Postmaster
  /** Holds the advisory lock; null while another process owns the server. */
  private lock: pg.Client | null = null
  private watcher: NodeJS.Timeout | null = null
  private restarting: Promise<void> | null = null
  private stopped = false

  private constructor(at: PostgresHome, options: EmbeddedPostgresOptions, server: Postmaster) {
    this.at = at
    this.options = options
    this.server = server
  }

  /** Resolves when the database `tributary` takes connections. Throws `in-use`, `not-supported`, `unsupported-version`, `storage`. */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    const report = options.report ?? (() => undefined)
    const home = resolve(options.dataDir, 'postgres')
    const data = join(home, 'data')
    const account = postgresAccount(data)
    if (account !== null) report(`Postgres runs as ${account.name}, because it does not run as root`)
    const copies = [resolve(options.dataDir), '/var/lib/tributary', '/var/tmp/tributary']
    const at = { home, data, account, tree: await postgresTree(account, copies, report) }
    await makeHome(at, report, options.signal)
    await checkVersion(at)
    const alive = await waitWhileStarting(data, options.signal)
    if (alive === null) report('starting Postgres')
    else report(`adopting the running Postgres (pid ${alive.pid})`)
    const port = options.port ?? 0
    const start = async () =>
      startPostmaster(at, port === 0 ? await freePort() : port, options.sharedBuffersMb ?? 96, options.signal)
    const server = alive === null ? await start() : { ...alive, ours: false }
    const postgres = new EmbeddedPostgres(at, options, server)
    try {
      await postgres.own()
      return postgres
    } catch (error) {
      // In use: another hub adopted it meanwhile.
      if (server.ours && !isTributaryError(error, 'in-use')) await stopPostmaster(server.pid)
      throw error
    }
  }

  get port(): number {
    return this.server.port
  }

  get pid(): number {
    return this.server.pid
  }

  /** Whether this process holds the folder's lock, and so stops the server when it stops. */
  get owned(): boolean {
    return this.lock !== null
  }

  /** Carries the password: never log it. */
  connectionString(database = 'tributary'): string {
    return `postgres://${superuser}:${readPassword(this.at.home)}@127.0.0.1:${this.server.port}/${database}`
  }

  /** Stop the server if this process owns it. Close every pool first. */
  async stop(): Promise<void> {
    if (this.stopped) return
    this.stopped = true
    if (this.watcher !== null) clearInterval(this.watcher)
    await this.restarting
    if (this.lock === null) return
    if (findPostmaster(this.at.data)?.pid === this.server.pid) await stopPostmaster(this.server.pid)
    this.lock = null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  private async own(): Promise<void> {
    await this.createDatabase()
    this.lock = await this.tryLock()
    if (this.lock === null && this.options.share !== true) {
      throw new TributaryError('in-use', `another hub runs on ${this.at.home}`, {
        hint: 'stop it first, or give this one another data folder',
      })
    }
    if (this.lock === null) return
    this.watcher = setInterval(() => this.watch(), watchMs)
    this.watcher.unref()
  }

  private async createDatabase(): Promise<void> {
    const client = await this.connect('postgres')
    try {
      await proveOurs(client, this.at, this.server)
      const { rowCount } = await client.query(`select from pg_database where datname = 'tributary'`)
      if (rowCount === 0) await client.query('create database tributary')
    } catch (error) {
      // 42P04, 23505: another process made it in between
      if (!(error instanceof pg.DatabaseError) || !['42P04', '23505'].includes(error.code ?? '')) throw error
    } finally {
      await client.end()
    }
  }

  /** A killed hub's lock goes with its connection, which takes the server a moment to see. */
  private async tryLock(): Promise<pg.Client | null> {
    const client = await this.connect('tributary')
    client.on('error', () => undefined) // the watcher sees the server's death; a cut connection alone ends as a lost lock below
    for (let tries = this.options.share === true ? 1 : 15; tries > 0; tries--) {
      const { rows } = await client.query<{ ok: boolean }>('select pg_try_advisory_lock($1, $2) as ok', [...lockKey])
      if (rows[0]?.ok === true) {
        client.once('end', () => this.lockLost(client))
        return client
      }
      await new Promise(next => setTimeout(next, 200))
    }
    await client.end()
    return null
  }

  private lockLost(client: pg.Client): void {
    if (this.stopped || this.lock !== client || this.restarting !== null) return
    this.restarting = this.recover().finally(() => {
      this.restarting = null
    })
  }

  private watch(): void {
    if (this.stopped || this.restarting !== null) return
    void boundLog(this.at.home).catch(error =>
      this.options.report?.(`cannot bound the Postgres log: ${messageOf(error)}`),
    )
    if (this.lock !== null && !isAlive(this.server.pid)) this.lockLost(this.lock)
  }

  /** Start the server again on its old port, and take the lock again. */
  private async recover(): Promise<void> {
    for (let attempt = 0; !this.stopped; attempt++) {
      try {
        const alive = await waitWhileStarting(this.at.data)
        if (alive === null) this.options.report?.('Postgres ended; starting it again')
        this.server = alive ?? (await startPostmaster(this.at, this.server.port, this.options.sharedBuffersMb ?? 96))
        this.lock = await this.tryLock()
        if (this.lock === null) throw new TributaryError('in-use', `another hub took ${this.at.home}`)
        return
      } catch (error) {
        if (attempt + 1 >= restartTries || isTributaryError(error, 'in-use')) {
          this.lock = null
          this.options.onFailed?.(
            isTributaryError(error) ? error : new TributaryError('unavailable', messageOf(error), { cause: error }),
          )
          return
        }
        this.options.report?.(`Postgres cannot be started again yet: ${messageOf(error)}`)
        await new Promise(next => setTimeout(next, 100 + fullJitterMs({ baseMs: 200, capMs: 5000 }, attempt)))
      }
    }
  }

  private async connect(database: string): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.connectionString(database),
      application_name: 'tributary lock',
      keepAlive: true,
    })
    await client.connect()
    return client
  }
}

/** The pid file as the server itself reads it: proves that whoever answers on that port, and knows our password, serves this folder. */
async function proveOurs(client: pg.Client, at: PostgresHome, server: Postmaster): Promise<void> {
  const { rows } = await client.query<{ text: string }>(`select pg_read_file('postmaster.pid') as text`)
  if (Number(rows[0]?.text.split('\n')[0]) === server.pid) return
  throw new TributaryError('in-use', `the server on port ${server.port} is not the one of ${at.home}`)
}

/** A server that is starting, or recovering after a crash, is waited for: it ends or becomes ready. */
async function waitWhileStarting(data: string, signal?: AbortSignal): Promise<Postmaster | null> {
  for (;;) {
    if (signal?.aborted) throw stoppedWhileStarting()
    const found = findPostmaster(data)
    if (found === null || found.port > 0) return found
    await new Promise(next => setTimeout(next, 50))
  }
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer()
    probe.once('error', fail)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
