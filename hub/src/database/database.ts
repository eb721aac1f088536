/**
 * The hub's Postgres: a pool, transactions, and the schema brought up to date.
 *
 * Types: int8 comes back as a number, because every counter, seq, epoch and microsecond time here is a safe integer; one that is
 * not throws. Log offsets are selected as text and kept as bigint. timestamptz comes back as a Date (milliseconds): select
 * `extract(epoch from ts) * 1000000` as int8 where microseconds matter. numeric comes back as text.
 *
 * A pool connection that breaks is dropped and replaced by the next use. A transaction that met a broken connection throws
 * `unavailable`; whether it was committed is then unknown, so what is retried must be recognisable by identity.
 */
import { TributaryError } from '@tributary/shared/errors'
import pg from 'pg'
import { asUnavailable } from './database-error.ts'
import { EmbeddedPostgres, type EmbeddedPostgresOptions } from './embedded-postgres.ts'
import { migrate } from './migrate.ts'

export interface PoolOptions {
  /** Connections at most. Default 10. */
  readonly connections?: number
  /** A statement that takes longer is cancelled. Default 30,000 ms. */
  readonly statementTimeoutMs?: number
  /** Shown in pg_stat_activity. Default `tributary-hub`. */
  readonly applicationName?: string
  /** An idle connection broke; the pool has replaced it. */
  readonly onConnectionLost?: (error: Error) => void
}

export type DatabaseOptions = PoolOptions &
  ({ readonly url: string } | (EmbeddedPostgresOptions & { readonly url?: undefined }))

export interface Database extends AsyncDisposable {
  readonly pool: pg.Pool
  /** Carries the password: never log it. */
  readonly connectionString: string
  /** The server that this process runs, if it does. */
  readonly embedded: EmbeddedPostgres | null
  /** Commits what `work` did, or nothing. `work` must use its client alone. */
  transaction<T>(work: (tx: pg.PoolClient) => Promise<T>): Promise<T>
  /** Ends the pool, then the embedded server if this process owns it. */
  close(): Promise<void>
}

/** Connect (starting or adopting an embedded server when no `url` is given) and migrate. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const embedded = options.url === undefined ? await EmbeddedPostgres.start(options) : null
  try {
    const connectionString = options.url ?? embedded?.connectionString() ?? ''
    await checkServer(connectionString)
    await migrate(connectionString)
    return connectDatabase(connectionString, options, embedded)
  } catch (error) {
    await embedded?.stop()
    throw asUnavailable(error)
  }
}

/** Refuse a server that is too old, or that acknowledges what it may still lose. */
async function checkServer(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, application_name: 'tributary-hub' })
  await client.connect()
  try {
    const { rows } = await client.query<{ name: string; value: string }>(
      `select name, setting as value from pg_settings
       where name in ('server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit')`,
    )
    for (const { name, value } of rows) {
      if (name === 'server_version_num' && Number(value) < oldestServer) {
        throw new TributaryError(
          'unsupported-version',
          `the database server is version ${value}, the hub needs ${oldestServer} or later`,
        )
      }
      if (value === 'off') {
        throw new TributaryError(
          'config',
          `the database server has ${name} = off: it acknowledges what a power cut can take back`,
          {
            hint: `set ${name} = on for this database`,
          },
        )
      }
    }
  } finally {
    await client.end()
  }
}

/** Postgres 15. */
const oldestServer = 150_000

/** A pool on a database whose schema is up to date. */
export function connectDatabase(
  connectionString: string,
  options: PoolOptions = {},
  embedded: EmbeddedPostgres | null = null,
): Database {
  const pool = new pg.Pool({
    connectionString,
    max: options.connections ?? 10,
    application_name: options.applicationName ?? 'tributary-hub',
    statement_timeout: options.statementTimeoutMs ?? 30_000,
    idle_in_transaction_session_timeout: 60_000,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    types: { getTypeParser },
  })
  pool.on('error', error => options.onConnectionLost?.(error))
  const close = async () => {
    if (!pool.ended) await pool.end()
    await embedded?.stop()
  }
  return {
    pool,
    connectionString,
    embedded,
    transaction: work => transaction(pool, work),
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function transaction<T>(pool: pg.Pool, work: (tx: pg.PoolClient) => Promise<T>): Promise<T> {
  let tx: pg.PoolClient
  try {
    tx = await pool.connect()
  } catch (error) {
    throw asUnavailable(error)
  }
  // A connection that breaks between two statements reports it here, and fails the next statement.
  const broken = { error: undefined as Error | undefined }
  const onError = (error: Error) => {
    broken.error = error
  }
  tx.on('error', onError)
  try {
    await tx.query('begin')
    const result = await work(tx)
    await tx.query('commit')
    return result
  } catch (error) {
    try {
      await tx.query('rollback')
    } catch (rollbackError) {
      broken.error ??= rollbackError as Error
    }
    throw asUnavailable(error)
  } finally {
    tx.off('error', onError)
    tx.release(broken.error)
  }
}

const int8 = 20

function getTypeParser(oid: number, format?: 'text' | 'binary'): (text: never) => unknown {
  if (oid === int8 && format !== 'binary') return parseInt8
  return pg.types.getTypeParser(oid, format as 'text') as (text: never) => unknown
}

function parseInt8(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value)) return value
  throw new TributaryError('internal', `int8 ${text} is not a safe integer; select it as text`)
}
