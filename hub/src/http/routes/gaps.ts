/** GET /v1/gaps */
import { createRoute, z } from '@hono/zod-openapi'
import { gapKinds, listGaps } from '../../query/list-gaps.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, json, pageLimit, pageOf, problems } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const gap = z
  .object({
    agentId,
    epoch: z.int(),
    kind: z.enum(gapKinds).openapi({
      description:
        '`missing`: neither stored nor reported lost, and the agent holds it no longer; `on-its-way`: the agent still has it; `lost`: reported by the agent',
    }),
    fromSeq: z.int(),
    toSeq: z.int().openapi({ description: 'Inclusive' }),
    readings: z.int().nullable(),
    exact: z.boolean().nullable().openapi({ description: 'false: `readings` is an upper bound' }),
    reason: z.string().nullable(),
  })
  .openapi('Gap')

const list = createRoute({
  method: 'get',
  path: '/v1/gaps',
  tags: ['readings'],
  summary: 'Batches that did not arrive, by agent and epoch',
  security: credentials,
  request: {
    query: z.strictObject({ agent: agentId.optional(), limit: pageLimit, cursor: cursorText.optional() }),
  },
  responses: { 200: json(pageOf(gap), 'A page of gaps'), ...problems },
})

const cursorForm = z.tuple([z.int(), z.int(), z.int(), z.string().max(16), z.string().max(256)])

export function gapRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(list, async c => {
    const { agent, limit, cursor } = c.req.valid('query')
    const after = decodeCursor(cursor, cursorForm) ?? undefined
    const rows = await listGaps(hub.database.pool, { agentId: agent, after, limit: limit + 1 })
    const { items, next } = page(rows, limit, g => [g.agentNo, g.epoch, g.fromSeq, g.kind, g.reason ?? ''])
    return c.json({ items: items.map(({ agentNo: _, ...row }) => row), next }, 200)
  })
}
