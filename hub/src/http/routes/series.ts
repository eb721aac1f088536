/** GET /v1/series */
import { createRoute, z } from '@hono/zod-openapi'
import { listSeries } from '../../query/list-series.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, json, pageLimit, pageOf, problems, queryText } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const series = z
  .object({
    seriesId: z.int(),
    agentId,
    site: z.string(),
    device: z.string(),
    metric: z.string(),
    unit: z.string(),
    createdAt: z.iso.datetime(),
  })
  .openapi('Series')

const list = createRoute({
  method: 'get',
  path: '/v1/series',
  tags: ['readings'],
  summary: 'Series, in the order of their first reading',
  security: credentials,
  request: {
    query: z.strictObject({
      agent: agentId.optional(),
      device: queryText.optional(),
      metric: queryText.optional(),
      q: queryText.optional().openapi({ description: 'Somewhere in device or metric, ignoring case' }),
      limit: pageLimit,
      cursor: cursorText.optional(),
    }),
  },
  responses: { 200: json(pageOf(series), 'A page of series'), ...problems },
})

export function seriesRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(list, async c => {
    const { agent, device, metric, q, limit, cursor } = c.req.valid('query')
    const after = decodeCursor(cursor, z.tuple([z.int()]))
    const filter = { agentId: agent, device, metric, text: q, afterId: after?.[0], limit: limit + 1 }
    const { items, next } = page(await listSeries(hub.database.pool, filter), limit, last => [last.seriesId])
    return c.json({ items: items.map(row => ({ ...row, createdAt: row.createdAt.toISOString() })), next }, 200)
  })
}
