/** Which of those who were let in earlier would be let in now: one query for all, past what is remembered. */
import type { Pool } from 'pg'
import type { Principal } from './api-keys.ts'
import type { Session } from './sessions.ts'

export async function stillValid(
  pool: Pool,
  principals: readonly (Principal | Session)[],
): Promise<(principal: Principal | Session) => boolean> {
  const { rows } = await pool.query<{ keys: string[]; sessions: string[] }>(
    `select array(select key_id from api_key where key_id = any($1) and revoked_at is null) as keys,
            array(select encode(token_hash, 'base64') from session where token_hash = any($2) and expires_at > now()) as sessions`,
    [
      principals.map(({ keyId }) => keyId),
      principals.flatMap(one => ('sessionHash' in one ? [Buffer.from(one.sessionHash, 'base64')] : [])),
    ],
  )
  const keys = new Set(rows[0]?.keys)
  const sessions = new Set(rows[0]?.sessions)
  return one => keys.has(one.keyId) && (!('sessionHash' in one) || sessions.has(one.sessionHash))
}
