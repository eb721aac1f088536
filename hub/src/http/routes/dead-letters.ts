/** GET /v1/dead-letters */
import { createRoute, z } from '@hono/zod-openapi'
import { listDeadLetters } from '../../query/list-dead-letters.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, json, pageLimit, pageOf, problems, queryText } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const deadLetter = z
  .object({
    deadLetterId: z.int(),
    at: z.iso.datetime(),
    agentId: agentId.nullable(),
    stage: z.string().openapi({ description: '`ingest` for readings that were judged and refused, or a consumer' }),
    reason: z.string(),
    epoch: z.int().nullable(),
    seq: z.int().nullable(),
    readings: z.int(),
    detail: z.unknown(),
    keptBytes: z.int(),
  })
  .openapi('DeadLetter')

const list = createRoute({
  method: 'get',
  path: '/v1/dead-letters',
  tags: ['readings'],
  summary: 'What was refused, the newest first',
  security: credentials,
  request: {
    query: z.strictObject({
      agent: agentId.optional(),
      stage: queryText.optional(),
      reason: queryText.optional(),
      limit: pageLimit,
      cursor: cursorText.optional(),
    }),
  },
  responses: { 200: json(pageOf(deadLetter), 'A page of dead letters'), ...problems },
})

export function deadLetterRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(list, async c => {
    const { agent, stage, reason, limit, cursor } = c.req.valid('query')
    const before = decodeCursor(cursor, z.tuple([z.int()]))
    const filter = { agentId: agent, stage, reason, beforeId: before?.[0], limit: limit + 1 }
    const { items, next } = page(await listDeadLetters(hub.database.pool, filter), limit, last => [last.deadLetterId])
    return c.json({ items: items.map(row => ({ ...row, at: row.at.toISOString() })), next }, 200)
  })
}
