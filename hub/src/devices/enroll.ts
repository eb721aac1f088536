/**
 * Enrolment: a one-time token and a proof of a private key become an agent.
 *
 * - The proof is checked before the token is looked up, and an unknown token is answered like a wrong secret: without a whole
 *   token nothing can be learned. Whoever holds one is told plainly that it is expired, used up or revoked.
 * - The same token and key again give the same answer, for ever: an answer lost on the way costs nothing.
 * - A bound token gives its agent a new key; the keys before it stay valid for the overlap, so that a gateway that loses power
 *   in the middle still has one that works.
 * - A token row is locked while it is spent: its uses cannot be exceeded by requests at once.
 */
import { randomBytes, verify } from 'node:crypto'
import { TributaryError } from '@tributary/shared/errors'
import { type EnrollRequest, enrollProof } from '@tributary/shared/protocol'
import { publicKeyBytes, publicKeyFromText } from '@tributary/shared/signature-keys'
import type { PoolClient } from 'pg'
import type { Database } from '../database/database.ts'
import { hashEnrollmentToken } from './enrollment-token.ts'
import { lowerBase32 } from './lower-base32.ts'

export interface Enrolled {
  readonly agentId: string
  readonly site: string
  /** A new agent; otherwise a repeat, or a new key for a known one. */
  readonly isNew: boolean
}

interface TokenState {
  token_id: string
  site: string
  labels: Record<string, string>
  agent_no: number | null
  uses: number
  used: number
  expired: boolean
  revoked: boolean
}

interface AgentState {
  agent_no: number
  agent_id: string
  site: string
  revoked: boolean
}

/** Enrol, or throw `unauthenticated`, `token-expired`, `token-used`, `token-revoked`, `agent-revoked`, `conflict`. */
export async function enroll(database: Database, request: EnrollRequest, keyOverlapS: number): Promise<Enrolled> {
  const publicKey = checkProof(request)
  return database.transaction(async tx => {
    const token = await lockToken(tx, request.token)
    if (token === undefined) throw new TributaryError('unauthenticated', 'this enrolment token is not known here')
    const before = await enrolledBy(tx, token.token_id, publicKey)
    if (before !== undefined) return { ...answer(before), isNew: false }
    checkUsable(token)
    await tx.query('update enrollment_token set used = used + 1 where token_id = $1', [token.token_id])
    const agent =
      token.agent_no === null
        ? await insertAgent(tx, token, request.name)
        : await expireKeys(tx, token.agent_no, keyOverlapS)
    await insertKey(tx, agent.agent_no, publicKey)
    await tx.query('insert into enrollment (token_id, public_key, agent_no) values ($1, $2, $3)', [
      token.token_id,
      publicKey,
      agent.agent_no,
    ])
    return { ...answer(agent), isNew: token.agent_no === null }
  })
}

/** The raw public key, once its holder has proved to have the private half. */
function checkProof(request: EnrollRequest): Uint8Array {
  const key = publicKeyFromText(request.publicKey)
  const proof = Buffer.from(request.proof, 'base64url')
  if (!verify(null, enrollProof(request.token, request.publicKey), key, proof)) {
    throw new TributaryError('unauthenticated', 'the proof does not verify with the public key that it came with')
  }
  return publicKeyBytes(key)
}

async function lockToken(tx: PoolClient, token: string): Promise<TokenState | undefined> {
  const { rows } = await tx.query<TokenState>(
    `select token_id, site, labels, agent_no, uses, used, expires_at <= now() as expired, revoked_at is not null as revoked
       from enrollment_token where token_hash = $1 for update`,
    [hashEnrollmentToken(token)],
  )
  return rows[0]
}

async function enrolledBy(tx: PoolClient, tokenId: string, publicKey: Uint8Array): Promise<AgentState | undefined> {
  const { rows } = await tx.query<AgentState>(
    `select a.agent_no, a.agent_id, a.site, a.revoked_at is not null as revoked
       from enrollment e join agent a using (agent_no) where e.token_id = $1 and e.public_key = $2`,
    [tokenId, publicKey],
  )
  return rows[0]
}

function checkUsable(token: TokenState): void {
  const hint = 'Make a new one: tributary-hub token create'
  if (token.revoked) throw new TributaryError('token-revoked', 'this enrolment token was revoked', { hint })
  if (token.expired) throw new TributaryError('token-expired', 'this enrolment token has expired', { hint })
  if (token.used >= token.uses) throw new TributaryError('token-used', 'this enrolment token is used up', { hint })
}

async function insertKey(tx: PoolClient, agentNo: number, publicKey: Uint8Array): Promise<void> {
  const { rowCount } = await tx.query(
    'insert into agent_key (public_key, agent_no) values ($1, $2) on conflict do nothing',
    [publicKey, agentNo],
  )
  if (rowCount === 1) return
  throw new TributaryError('conflict', 'this key belongs to an agent already', {
    hint: 'Enrol with a new key: remove the old identity from the gateway first',
  })
}

async function insertAgent(tx: PoolClient, token: TokenState, name: string): Promise<AgentState> {
  const { rows } = await tx.query<AgentState>(
    `insert into agent (agent_id, site, name, labels) values ($1, $2, $3, $4)
     returning agent_no, agent_id, site, false as revoked`,
    [`ag-${lowerBase32(randomBytes(13)).slice(0, 20)}`, token.site, name, token.labels],
  )
  return rows[0]!
}

async function expireKeys(tx: PoolClient, agentNo: number, keyOverlapS: number): Promise<AgentState> {
  await tx.query(
    `update agent_key set valid_until = least(valid_until, now() + make_interval(secs => $2)) where agent_no = $1`,
    [agentNo, keyOverlapS],
  )
  const { rows } = await tx.query<AgentState>(
    'select agent_no, agent_id, site, revoked_at is not null as revoked from agent where agent_no = $1 for share',
    [agentNo],
  )
  const agent = rows[0]!
  if (agent.revoked) throw revoked(agent.agent_id)
  return agent
}

function answer(agent: AgentState): { agentId: string; site: string } {
  if (agent.revoked) throw revoked(agent.agent_id)
  return { agentId: agent.agent_id, site: agent.site }
}

function revoked(agentId: string): TributaryError {
  return new TributaryError('agent-revoked', `agent ${agentId} was revoked`, {
    hint: 'Enrol the gateway as a new agent: remove its identity and use a new token',
  })
}
