/**
 * The first key of a hub: made at the first start, shown once, and left in a file that only the hub's account can read, so that
 * the command line tools beside the hub find it.
 *
 * The database keeps SHA-256 of the key (a key is 256 random bits: a slow hash adds nothing). The file is written before the row,
 * so that a crash between the two leaves a file that the next start replaces, never a key that nobody knows. Several hubs starting
 * at once on one database are decided by an advisory lock: one of them makes the key.
 */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from '../database/database.ts'
import { writePrivateFile } from './private-file.ts'

/** Advisory lock: "trib" in ASCII, and 1 and 2 are the server's and the schema's. */
const lockKey = [0x7472_6962, 3]

export interface AdminKey {
  /** The key itself, only when this call made it. */
  readonly created: string | null
  /** Where it can be read, or null when another hub's data folder holds it. */
  readonly file: string | null
}

/** `tak_` and 256 random bits in base64url. */
export function newApiKey(): string {
  return `tak_${randomBytes(32).toString('base64url')}`
}

/** What the database keeps of a key. */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** Make the admin key if the database has none. `renew`: make one in any case, and revoke those before it. */
export async function ensureAdminKey(database: Database, dataDir: string, renew = false): Promise<AdminKey> {
  const file = join(dataDir, 'admin-key')
  const created = await database.transaction(async tx => {
    await tx.query('select pg_advisory_xact_lock($1, $2)', lockKey)
    const known = await tx.query(`select 1 from api_key where role = 'admin' and revoked_at is null limit 1`)
    if (known.rowCount !== 0 && !renew) return null
    await tx.query(`update api_key set revoked_at = now() where role = 'admin' and revoked_at is null`)
    const key = newApiKey()
    writePrivateFile(file, `${key}\n`)
    await tx.query(`insert into api_key (key_id, key_hash, role) values ($1, $2, 'admin')`, [
      `key_${randomBytes(6).toString('hex')}`,
      hashApiKey(key),
    ])
    return key
  })
  return { created, file: existsSync(file) ? file : null }
}
