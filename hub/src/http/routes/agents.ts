/** Agents: list, look at, revoke, rotate. */
import { createRoute, z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'
import { revokeAgent, rotateAgent, rotationExpiresInS } from '../../devices/agents.ts'
import { tokenLimits } from '../../devices/tokens.ts'
import { listAgents } from '../../query/list-agents.ts'
import { agent, agentJson } from '../agent-json.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, json, notFound, pageLimit, pageOf, problems, queryText } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const params = z.object({ id: agentId })

const list = createRoute({
  method: 'get',
  path: '/v1/agents',
  tags: ['agents'],
  summary: 'Agents, in the order of their enrolment',
  security: credentials,
  request: {
    query: z.strictObject({ site: queryText.optional(), limit: pageLimit, cursor: cursorText.optional() }),
  },
  responses: { 200: json(pageOf(agent), 'A page of agents'), ...problems },
})

const get = createRoute({
  method: 'get',
  path: '/v1/agents/{id}',
  tags: ['agents'],
  summary: 'One agent',
  security: credentials,
  request: { params },
  responses: { 200: json(agent, 'The agent'), 404: notFound, ...problems },
})

const revoke = createRoute({
  method: 'post',
  path: '/v1/agents/{id}/revoke',
  tags: ['agents'],
  summary: 'Refuse everything that this agent signs from now on; final',
  security: credentials,
  request: { params },
  responses: { 200: json(z.object({ agentId, revokedAt: z.iso.datetime() }), 'Revoked'), 404: notFound, ...problems },
})

const rotate = createRoute({
  method: 'post',
  path: '/v1/agents/{id}/rotate',
  tags: ['agents'],
  summary: 'A token with which this agent takes a new key; the old one stays valid for an overlap',
  security: credentials,
  request: {
    params,
    query: z.strictObject({
      expiresInS: z.coerce.number().int().min(60).max(tokenLimits.expiresInS).default(rotationExpiresInS),
    }),
  },
  responses: {
    201: json(
      z.object({ agentId, tokenId: z.string(), token: z.string(), expiresAt: z.iso.datetime() }),
      'The token, shown once',
    ),
    404: notFound,
    ...problems,
  },
})

export function agentRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(list, async c => {
    const { site, limit, cursor } = c.req.valid('query')
    const after = decodeCursor(cursor, z.tuple([z.int()]))
    const nowMs = hub.now()
    const rows = await listAgents(hub.database.pool, { site, afterNo: after?.[0], limit: limit + 1, nowMs })
    const { items, next } = page(rows, limit, last => [last.agentNo])
    return c.json({ items: items.map(row => agentJson(row, nowMs)), next }, 200)
  })
  app.openapi(get, async c => {
    const { id } = c.req.valid('param')
    const nowMs = hub.now()
    const [row] = await listAgents(hub.database.pool, { agentId: id, limit: 1, nowMs })
    if (row === undefined) throw new TributaryError('not-found', `no agent ${id}`)
    return c.json(agentJson(row, nowMs), 200)
  })
  app.openapi(revoke, async c => {
    const { id } = c.req.valid('param')
    const revokedAt = await revokeAgent(hub.database, hub.agents, id)
    return c.json({ agentId: id, revokedAt: revokedAt.toISOString() }, 200)
  })
  app.openapi(rotate, async c => {
    const { id } = c.req.valid('param')
    const { tokenId, token, expiresAt } = await rotateAgent(hub.database, id, c.req.valid('query').expiresInS)
    return c.json({ agentId: id, tokenId, token, expiresAt: expiresAt.toISOString() }, 201)
  })
}
