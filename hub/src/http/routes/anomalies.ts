/** GET /v1/anomalies */
import { createRoute, z } from '@hono/zod-openapi'
import { type AnomalyRow, listAnomalies } from '../../query/list-anomalies.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, instant, json, pageLimit, pageOf, problems, timestamp } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const severity = z.enum(['warning', 'critical'])

const anomaly = z
  .object({
    anomalyId: z.uuid(),
    seriesId: z.int(),
    agentId,
    device: z.string(),
    metric: z.string(),
    unit: z.string(),
    detector: z.string(),
    openedAt: z.iso.datetime(),
    closedAt: timestamp,
    surprise: z.number(),
    score: z.number(),
    severity,
    stream: z.string(),
    value: z.number().nullable(),
    expected: z.number().nullable(),
    seenBefore: z.number(),
    learning: z.boolean(),
    historic: z.boolean(),
  })
  .openapi('Anomaly')

const list = createRoute({
  method: 'get',
  path: '/v1/anomalies',
  tags: ['anomalies'],
  summary: 'Anomalies, the newest first',
  security: credentials,
  request: {
    query: z.strictObject({
      agent: agentId.optional(),
      series: z.coerce
        .number()
        .int()
        .min(1)
        .max(2 ** 31 - 1)
        .optional(),
      severity: severity.optional(),
      open: z.enum(['true', 'false']).optional().openapi({ description: 'Not closed yet' }),
      from: instant.optional(),
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
      toMs: query.to,
      after: after ?? undefined,
      limit: query.limit + 1,
    })
    const { items, next } = page(rows, query.limit, last => [last.openedUs, last.anomalyId])
    return c.json({ items: items.map(present), next }, 200)
  })
}

function present({ openedUs, closedUs, ...row }: AnomalyRow): z.infer<typeof anomaly> {
  return {
    ...row,
    openedAt: new Date(openedUs / 1000).toISOString(),
    closedAt: closedUs === null ? null : new Date(closedUs / 1000).toISOString(),
  }
}
