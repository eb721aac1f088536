/**
 * Enrolment tokens: made by an operator, spent by gateways.
 *
 * A token is shown once, when it is made. An unbound token makes new agents; a bound one gives a known agent a new key.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Pool, PoolClient } from 'pg'
import { newEnrollmentToken } from './enrollment-token.ts'

/** Bounds of a token. */
export const tokenLimits = {
  uses: 100_000,
  expiresInS: 366 * 86_400,
  siteLength: 64,
  labels: 32,
  labelLength: 128,
} as const

export interface NewToken {
  readonly site: string
  readonly labels: Readonly<Record<string, string>>
  readonly uses: number
  readonly expiresInS: number
  /** Set: a new key for this agent. */
  readonly agentNo?: number
}

export interface CreatedToken {
  readonly tokenId: string
  /** The secret: shown now, never again. */
  readonly token: string
  readonly expiresAt: Date
}

export interface TokenRow {
  readonly tokenId: string
  readonly site: string
  readonly labels: Readonly<Record<string, string>>
  readonly agentId: string | null
  readonly uses: number
  readonly used: number
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly revokedAt: Date | null
}

export async function createToken(db: Pool | PoolClient, wanted: NewToken): Promise<CreatedToken> {
  const { tokenId, token, hash } = newEnrollmentToken()
  const { rows } = await db.query<{ expires_at: Date }>(
    `insert into enrollment_token (token_id, token_hash, site, labels, agent_no, uses, expires_at)
     values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) returning expires_at`,
    [tokenId, hash, wanted.site, wanted.labels, wanted.agentNo ?? null, wanted.uses, wanted.expiresInS],
  )
  return { tokenId, token, expiresAt: rows[0]!.expires_at }
}

/** The token can enrol nobody from now on; agents that it enrolled stay. */
export async function revokeToken(pool: Pool, tokenId: string): Promise<void> {
  const { rowCount } = await pool.query(
    'update enrollment_token set revoked_at = coalesce(revoked_at, now()) where token_id = $1',
    [tokenId],
  )
  if (rowCount === 0)
    throw new TributaryError('not-found', `no token ${tokenId}`, { hint: 'List them: tributary-hub token list' })
}

/** Newest first; those after the one at `after` (created_at, token_id). */
export async function listTokens(
  pool: Pool,
  limit: number,
  after: readonly [string, string] | null,
): Promise<TokenRow[]> {
  const { rows } = await pool.query(
    `select t.token_id as "tokenId", t.site, t.labels, a.agent_id as "agentId", t.uses, t.used,
            t.created_at as "createdAt", t.expires_at as "expiresAt", t.revoked_at as "revokedAt"
       from enrollment_token t left join agent a using (agent_no)
      where $2::timestamptz is null or (date_trunc('milliseconds', t.created_at), t.token_id) < ($2, $3)
      order by date_trunc('milliseconds', t.created_at) desc, t.token_id desc
      limit $1`,
    [limit, after?.[0] ?? null, after?.[1] ?? null],
  )
  return rows
}
