/**
 * Brings the schema up to date: `migrations/NNNN-name.sql`, each in a transaction of its own, in the order of their numbers,
 * recorded with its SHA-256. Forward only. An advisory lock lets one process migrate while others wait.
 *
 * Refused: a database that holds a migration this program does not know (it is newer), and a recorded migration whose file changed.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { TributaryError } from '@tributary/shared/errors'
import pg from 'pg'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
  /** SHA-256 of the file, hex. */
  readonly checksum: string
}

export const migrationsFolder = join(import.meta.dirname, 'migrations')

/** All migrations of a folder by number; two files with one number are refused. */
export function readMigrations(folder: string = migrationsFolder): Migration[] {
  const migrations = readdirSync(folder)
    .filter(file => file.endsWith('.sql'))
    .sort()
    .map(file => {
      const match = /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file)
      if (match === null) throw new TributaryError('config', `${file} is not named NNNN-name.sql`)
      const sql = readFileSync(join(folder, file), 'utf8')
      const checksum = createHash('sha256').update(sql).digest('hex')
      return { version: Number(match[1]), name: match[2] ?? '', sql, checksum }
    })
  for (const [index, { version }] of migrations.entries()) {
    if (migrations[index + 1]?.version === version)
      throw new TributaryError('config', `two migrations have number ${version}`)
  }
  return migrations
}

const lockKey = [0x7472_6962, 2] as const

/** Resolves with the numbers applied now. Throws `unsupported-version` for a newer database, `conflict` for a changed file. */
export async function migrate(
  connectionString: string,
  migrations: readonly Migration[] = readMigrations(),
): Promise<number[]> {
  const client = new pg.Client({ connectionString, application_name: 'tributary migrate' })
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1, $2)', [...lockKey])
    await client.query(`create table if not exists schema_migration (
      version int primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`)
    const { rows } = await client.query<{ version: number; name: string; checksum: string }>(
      'select * from schema_migration',
    )
    const applied: number[] = []
    for (const migration of pending(migrations, rows)) {
      await apply(client, migration)
      applied.push(migration.version)
    }
    return applied
  } finally {
    await client.end()
  }
}

function pending(
  migrations: readonly Migration[],
  recorded: readonly { version: number; name: string; checksum: string }[],
): Migration[] {
  const known = new Map(migrations.map(migration => [migration.version, migration]))
  for (const { version, name, checksum } of recorded) {
    const migration = known.get(version)
    if (migration === undefined) {
      throw new TributaryError(
        'unsupported-version',
        `the database has migration ${version} (${name}), which this program does not know`,
        {
          hint: 'run the newer program that made it, or restore a backup from before',
        },
      )
    }
    if (migration.checksum !== checksum) {
      throw new TributaryError(
        'conflict',
        `migration ${version} (${name}) is not the one that the database was made with`,
        {
          hint: 'put the released file back; a change of the schema is a new migration',
        },
      )
    }
  }
  const done = new Set(recorded.map(({ version }) => version))
  return migrations.filter(({ version }) => !done.has(version))
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin')
  try {
    await client.query(migration.sql)
    await client.query('insert into schema_migration (version, name, checksum) values ($1, $2, $3)', [
      migration.version,
      migration.name,
      migration.checksum,
    ])
    await client.query('commit')
  } catch (cause) {
    await client.query('rollback')
    throw new TributaryError('internal', `migration ${migration.version} (${migration.name}) failed`, { cause })
  }
}
