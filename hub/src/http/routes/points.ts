/** GET /v1/series/{id}/points: a series for a chart, as columns. */
import { createRoute, z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'
import { findSeries } from '../../query/list-series.ts'
import { type Points, readPoints } from '../../query/read-points.ts'
import { credentials, instant, json, notFound, problems, seriesId } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

/** No reading is older: ingest refuses what is before 2000. */
const earliestMs = Date.UTC(2000, 0)
/** Nor ahead of the hub by more than minutes. */
const aheadMs = 86_400_000
const maxPoints = 5000

const column = z.array(z.number())

const points = z
  .object({
    seriesId: z.int(),
    unit: z.string(),
    fromMs: z.number(),
    toMs: z.number(),
    bucketMs: z.int().openapi({ description: '0: each point is a reading' }),
    tsMs: column.openapi({ description: 'Of a reading, to the microsecond; of a bucket, its start' }),
    value: column.openapi({ description: 'Of the reading, or the mean of the bucket' }),
    min: column.optional(),
    max: column.optional(),
    n: column.optional().openapi({ description: 'Readings in the bucket' }),
  })
  .openapi('Points')

const route = createRoute({
  method: 'get',
  path: '/v1/series/{id}/points',
  tags: ['readings'],
  summary:
    'Numbers and booleans of one series that are not bad, raw or in buckets, ascending; empty buckets are left out',
  security: credentials,
  request: {
    params: z.object({ id: seriesId }),
    query: z.strictObject({
      from: instant.optional().openapi({ description: 'Inclusive; an hour before `to` by default' }),
      to: instant.optional().openapi({ description: 'Exclusive; now by default' }),
      points: z.coerce.number().int().min(1).max(maxPoints).default(1000).openapi({ description: 'At most so many' }),
    }),
  },
  responses: { 200: json(points, 'The columns are of equal length'), 404: notFound, ...problems },
})

export function pointsRoute(app: HubApp, hub: HubServices): void {
  app.openapi(route, async c => {
    const { id } = c.req.valid('param')
    const { from, to, points: most } = c.req.valid('query')
    const toMs = to ?? hub.now()
    const fromMs = from ?? toMs - 3600_000
    if (fromMs > toMs) throw new TributaryError('malformed', 'from: later than to (in the query)')
    const series = await findSeries(hub.database.pool, id)
    if (series === null) throw new TributaryError('not-found', `no series ${id}`)
    const within = (ms: number) => Math.min(Math.max(ms, earliestMs), hub.now() + aheadMs)
    const asked = { seriesId: id, fromMs: within(fromMs), toMs: within(toMs), points: most }
    const found = await readPoints(hub.database.pool, asked)
    return c.json({ seriesId: id, unit: series.unit, fromMs, toMs, ...columnsOf(found) }, 200)
  })
}

function columnsOf(found: Points) {
  if (found.kind === 'raw') {
    const { points } = found
    return { bucketMs: 0, tsMs: points.map(one => one.tsUs / 1000), value: points.map(one => one.value) }
  }
  const { bucketMs, points } = found
  return {
    bucketMs,
    tsMs: points.map(one => one.tsMs),
    value: points.map(one => one.value),
    min: points.map(one => one.min),
    max: points.map(one => one.max),
    n: points.map(one => one.n),
  }
}
