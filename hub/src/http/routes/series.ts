/** GET /v1/series */
import { createRoute, z } from '@hono/zod-openapi'
import { listSeries, type SeriesRow } from '../../query/list-series.ts'
import { decodeCursor, page } from '../cursor.ts'
import { rawReading, rawReadingJson } from '../reading-json.ts'
import {
  agentId,
  credentials,
  cursorText,
  json,
  pageLimit,
  pageOf,
  problems,
  queryText,
  seriesIds,
} from '../schemas.ts'
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
    latest: rawReading.nullable().optional().openapi({
      description: 'The reading with the newest time, null before the first; with `include=latest`',
    }),
    openAnomalies: z.int().optional().openapi({ description: 'Anomalies not closed yet; with `include=latest`' }),
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
      ids: seriesIds.optional(),
      include: z.enum(['latest']).optional().openapi({ description: 'Add the newest reading and the open anomalies' }),
      q: queryText.optional().openapi({ description: 'Somewhere in device or metric, ignoring case' }),
      limit: pageLimit,
      cursor: cursorText.optional(),
    }),
  },
  responses: { 200: json(pageOf(series), 'A page of series'), ...problems },
})

export function seriesRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(list, async c => {
    const { agent, device, metric, ids, include, q, limit, cursor } = c.req.valid('query')
    const after = decodeCursor(cursor, z.tuple([z.int()]))
    const filter = { agentId: agent, device, metric, seriesIds: ids, text: q, afterId: after?.[0], limit: limit + 1 }
    const { items, next } = page(await listSeries(hub.database.pool, filter), limit, last => [last.seriesId])
    return c.json({ items: items.map(row => seriesJson(row, include === 'latest')), next }, 200)
  })
}

function seriesJson(row: SeriesRow, withLatest: boolean): z.infer<typeof series> {
  const { latestUs, latestValue, latestText, latestQuality, openAnomalies, createdAt, ...names } = row
  const named = { ...names, createdAt: createdAt.toISOString() }
  if (!withLatest) return named
  const latest =
    latestUs === null
      ? null
      : rawReadingJson({ tsUs: latestUs, value: latestValue, text: latestText, quality: latestQuality ?? 0 })
  return { ...named, latest, openAnomalies }
}
