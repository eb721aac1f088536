/** Recalls of an agent: ask for readings that it kept back, and see what became of it. */
import { createRoute, z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'
import { findRecall, listRecalls, type RecallRow, recallStates, requestRecall } from '../../devices/recalls.ts'
import { decodeCursor, page } from '../cursor.ts'
import { isoUs } from '../reading-json.ts'
import {
  agentId,
  credentials,
  cursorText,
  instant,
  json,
  notFound,
  pageLimit,
  pageOf,
  problem,
  problems,
  queryText,
} from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const recall = z
  .object({
    recallId: z.int(),
    agentId,
    device: z.string(),
    metric: z.string(),
    from: z.string().openapi({ description: 'Inclusive' }),
    to: z.string().openapi({ description: 'Exclusive' }),
    state: z.enum(recallStates).openapi({
      description:
        '`open`, `sent` once it stood in an answer to the agent, then `done`, or `partly-gone` when the agent no longer had all',
    }),
    requestedAt: z.iso.datetime(),
    requestedBy: z.string().nullable().openapi({ description: 'Id of the API key' }),
    sentAt: z.iso.datetime().nullable(),
    doneAt: z.iso.datetime().nullable(),
    readings: z.int().nullable().openapi({ description: 'That the agent still had and sent; null before' }),
  })
  .openapi('Recall')

const params = z.object({ id: agentId })

const request = createRoute({
  method: 'post',
  path: '/v1/agents/{id}/recalls',
  tags: ['agents'],
  summary: 'Ask an agent for readings of a series that it folded into aggregates or kept back',
  security: credentials,
  request: {
    params,
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z.strictObject({ device: queryText, metric: queryText, from: instant, to: instant }),
        },
      },
    },
  },
  responses: {
    201: json(recall, 'It goes out with the next answers to the agent'),
    404: notFound,
    409: {
      description: 'The agent was revoked, or has too many recalls under way',
      content: { 'application/problem+json': { schema: problem } },
    },
    ...problems,
  },
})

const list = createRoute({
  method: 'get',
  path: '/v1/agents/{id}/recalls',
  tags: ['agents'],
  summary: 'Recalls of an agent, newest first',
  security: credentials,
  request: {
    params,
    query: z.strictObject({ state: z.enum(recallStates).optional(), limit: pageLimit, cursor: cursorText.optional() }),
  },
  responses: { 200: json(pageOf(recall), 'A page of recalls'), 404: notFound, ...problems },
})

const get = createRoute({
  method: 'get',
  path: '/v1/agents/{id}/recalls/{recall}',
  tags: ['agents'],
  summary: 'One recall',
  security: credentials,
  request: {
    params: z.object({ id: agentId, recall: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) }),
  },
  responses: { 200: json(recall, 'The recall'), 404: notFound, ...problems },
})

export function recallRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(request, async c => {
    const { id } = c.req.valid('param')
    const { device, metric, from, to } = c.req.valid('json')
    if (from >= to) throw new TributaryError('malformed', 'from: not before to (in the body)')
    const requestedBy = c.get('principal')?.keyId ?? null
    const span = { fromUs: from * 1000, toUs: to * 1000 }
    const made = await requestRecall(hub.database.pool, { agentId: id, device, metric, ...span, requestedBy })
    return c.json(recallJson(made), 201)
  })
  app.openapi(list, async c => {
    const { id } = c.req.valid('param')
    const { state, limit, cursor } = c.req.valid('query')
    const before = decodeCursor(cursor, z.tuple([z.int()]))
    const rows = await listRecalls(hub.database.pool, { agentId: id, state, beforeId: before?.[0], limit: limit + 1 })
    const { items, next } = page(rows, limit, last => [last.recallId])
    return c.json({ items: items.map(recallJson), next }, 200)
  })
  app.openapi(get, async c => {
    const { id, recall: recallId } = c.req.valid('param')
    return c.json(recallJson(await findRecall(hub.database.pool, id, recallId)), 200)
  })
}

function recallJson({ fromUs, toUs, requestedAt, sentAt, doneAt, ...row }: RecallRow): z.infer<typeof recall> {
  return {
    ...row,
    from: isoUs(fromUs),
    to: isoUs(toUs),
    requestedAt: requestedAt.toISOString(),
    sentAt: sentAt?.toISOString() ?? null,
    doneAt: doneAt?.toISOString() ?? null,
  }
}
