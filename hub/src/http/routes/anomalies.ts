/** GET /v1/anomalies */
import { createRoute, z } from '@hono/zod-openapi'
import { listAnomalies } from '../../query/list-anomalies.ts'
import { anomaly, anomalyJson, severity } from '../anomaly-json.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, instant, json, pageLimit, pageOf, problems, seriesId } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const list = createRoute({
  method: 'get',
  path: '/v1/anomalies',
  tags: ['anomalies'],
  summary: 'Anomalies, the newest first',
  security: credentials,
  request: {
    query: z.strictObject({
      agent: agentId.optional(),
      series: seriesId.optional(),
      severity: severity.optional(),
      open: z.enum(['true', 'false']).optional().openapi({ description: 'Not closed yet' }),
      from: instant.optional(),
      underWay: z
        .enum(['true', 'false'])
        .optional()
        .openapi({ description: 'With `from`: also those that opened before it and had not closed by then' }),
      to: instant.optional(),
      limit: pageLimit,
      cursor: cursorText.optional(),
    }),
  },
  responses: { 200: json(pageOf(anomaly), 'A page of anomalies'), ...problems },
})

export function anomalyRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(list, async c => {
    const query = c.req.valid('query')
    const after = decodeCursor(query.cursor, z.tuple([z.int(), z.uuid()]))
    const rows = await listAnomalies(hub.database.pool, {
      agentId: query.agent,
      seriesId: query.series,
      severity: query.severity,
      open: query.open === undefined ? undefined : query.open === 'true',
      fromMs: query.from,
      underWay: query.underWay === 'true',
      toMs: query.to,
      after: after ?? undefined,
      limit: query.limit + 1,
    })
    const { items, next } = page(rows, query.limit, last => [last.openedUs, last.anomalyId])
    return c.json({ items: items.map(anomalyJson), next }, 200)
  })
}
