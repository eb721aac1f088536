/**
 * What an operator does to an agent: revoke it, or let it take a new key.
 *
 * Revocation is final and takes effect at once in this process; every other hub on the database hears of it by NOTIFY, and trusts
 * its memory for `staleMs` at most when it does not.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Database } from '../database/database.ts'
import type { AgentDirectory } from './agent-directory.ts'
import { type CreatedToken, createToken } from './tokens.ts'

/** Postgres channel; the payload is the agent's id. */
export const agentChannel = 'tributary_agent'

/** How long the token of a rotation can be used by default, s. */
export const rotationExpiresInS = 7 * 86_400

/** Refuse everything that this agent signs from now on. */
export async function revokeAgent(database: Database, directory: AgentDirectory, agentId: string): Promise<Date> {
  const revokedAt = await database.transaction(async tx => {
    const { rows } = await tx.query<{ revoked_at: Date }>(
      'update agent set revoked_at = coalesce(revoked_at, now()) where agent_id = $1 returning revoked_at',
      [agentId],
    )
    if (rows[0] === undefined) throw unknownAgent(agentId)
    await tx.query('select pg_notify($1, $2)', [agentChannel, agentId])
    return rows[0].revoked_at
  })
  directory.forget(agentId)
  return revokedAt
}

/** A token with which the gateway takes a new key; the one it has stays valid for the overlap after that. */
export async function rotateAgent(database: Database, agentId: string, expiresInS: number): Promise<CreatedToken> {
  return database.transaction(async tx => {
    const { rows } = await tx.query<{ agent_no: number; site: string; revoked: boolean }>(
      'select agent_no, site, revoked_at is not null as revoked from agent where agent_id = $1 for share',
      [agentId],
    )
    const [agent] = rows
    if (agent === undefined) throw unknownAgent(agentId)
    if (agent.revoked)
      throw new TributaryError('agent-revoked', `agent ${agentId} was revoked; enrol the gateway as a new one`)
    return createToken(tx, { site: agent.site, labels: {}, uses: 1, expiresInS, agentNo: agent.agent_no })
  })
}

function unknownAgent(agentId: string): TributaryError {
  return new TributaryError('not-found', `no agent ${agentId}`, { hint: 'List them: tributary-hub agents list' })
}
