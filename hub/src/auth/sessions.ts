/**
 * Sessions of people: whoever shows an API key once gets a token of 256 random bits for a cookie, and need not keep the key.
 *
 * Sessions are rows, so that several hubs on one database share them; a row holds SHA-256 of the token. A session ends after
 * `sessionS`, when it is closed, or with its key: at once at the hub that closes it, everywhere else after `staleMs`, for which a
 * session is remembered. A key has at most `maxPerKey` sessions: one more ends the oldest. Tokens that are not known are not
 * remembered, so that guesses cannot fill memory. The database's clock decides when a session is over.
 */
import { createHash, randomBytes } from 'node:crypto'
import { TributaryError } from '@tributary/shared/errors'
import type { Pool } from 'pg'
import type { Database } from '../database/database.ts'
import type { Principal } from './api-keys.ts'

/** From its opening to its end, s. */
export const sessionS = 43_200
/** Of one API key, open at once. */
export const maxPerKey = 20
/** How long a session that ended may still be honoured, ms. */
export const staleMs = 5000
/** Sessions remembered at most; the oldest leaves first. */
const maxRemembered = 1000

export interface Session extends Principal {
  /** SHA-256 of its token, base64: names the session, opens nothing. */
  readonly sessionHash: string
  readonly expiresAt: Date
}

export class Sessions {
  readonly #database: Database
  readonly #now: () => number
  readonly #remembered = new Map<string, { readonly session: Session; readonly untilMs: number }>()

  constructor(database: Database, now: () => number = () => performance.now()) {
    this.#database = database
    this.#now = now
  }

  /** A new session of a key; the token is in this answer and nowhere else. Throws `unauthenticated` when the key was just revoked. */
  async open(keyId: string): Promise<string> {
    const token = randomBytes(32).toString('base64url')
    await this.#database.transaction(async tx => {
      // The lock on the key lets its openings come one after another, so that the bound holds.
      const key = await tx.query('select from api_key where key_id = $1 and revoked_at is null for update', [keyId])
      if (key.rowCount === 0) throw new TributaryError('unauthenticated', 'this API key is unknown or revoked')
      await tx.query(
        `insert into session (token_hash, key_id, created_at, expires_at)
         values ($1, $2, clock_timestamp(), clock_timestamp() + $3 * interval '1 second')`,
        [hashOf(token), keyId, sessionS],
      )
      await tx.query(
        `delete from session where token_hash in (
           select token_hash from session where key_id = $1 order by created_at desc, token_hash offset $2)`,
        [keyId, maxPerKey],
      )
    })
    return token
  }

  /** The session of a token; throws `unauthenticated` when there is none, or when it or its key has ended. */
  async authenticate(token: string): Promise<Session> {
    const hash = hashOf(token)
    const sessionHash = hash.toString('base64')
    const remembered = this.#remembered.get(sessionHash)
    if (remembered !== undefined && remembered.untilMs > this.#now()) return remembered.session
    this.#remembered.delete(sessionHash)
    const askedMs = this.#now()
    const { rows } = await this.#database.pool.query<Omit<Session, 'sessionHash'>>(
      `select key_id as "keyId", role, expires_at as "expiresAt" from session join api_key using (key_id)
        where token_hash = $1 and expires_at > now() and revoked_at is null`,
      [hash],
    )
    if (rows[0] === undefined) {
      throw new TributaryError('unauthenticated', 'this session has ended', { hint: 'Sign in again with an API key' })
    }
    const session = { ...rows[0], sessionHash }
    if (this.#remembered.size >= maxRemembered) this.#remembered.delete(this.#remembered.keys().next().value!)
    this.#remembered.set(sessionHash, { session, untilMs: askedMs + staleMs })
    return session
  }

  /** End a session now. */
  async close({ sessionHash }: Session): Promise<void> {
    await this.#database.pool.query('delete from session where token_hash = $1', [Buffer.from(sessionHash, 'base64')])
    this.#remembered.delete(sessionHash)
  }
}

/** Take away the rows of sessions that are over; returns how many. */
export async function deleteEndedSessions(pool: Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from session using api_key
      where session.key_id = api_key.key_id and (expires_at <= now() or revoked_at is not null)`,
  )
  return rowCount ?? 0
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
