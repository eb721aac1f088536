/** GET /v1/series/{id}/aggregates: windows that the agent computed, as JSON or CSV. */
import { createRoute, z } from '@hono/zod-openapi'
import { csvLine } from '@tributary/shared/csv'
import { TributaryError } from '@tributary/shared/errors'
import { findSeries } from '../../query/list-series.ts'
import { type AggregateRow, readAggregates } from '../../query/read-aggregates.ts'
import { decodeCursor, page } from '../cursor.ts'
import { isoUs } from '../reading-json.ts'
import { credentials, cursorText, instant, json, notFound, problems, seriesId } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const quantile = z.number().nullable().openapi({ description: 'Null without a sketch' })

const aggregate = z
  .object({
    start: z.string().openapi({ description: 'The window is [start, start + sizeMs)' }),
    sizeMs: z.number(),
    hopMs: z.number().openapi({ description: 'Windows start so often; less than sizeMs when they overlap' }),
    parts: z.int().openapi({ description: 'That the window was merged from: more than one when readings came late' }),
    n: z.int(),
    sum: z.number().nullable().openapi({ description: 'Null beyond the largest double; so is m2' }),
    mean: z.number(),
    m2: z.number().nullable().openapi({ description: 'Sum of squared differences from the mean' }),
    min: z.number(),
    max: z.number(),
    firstTs: z.string(),
    first: z.number(),
    lastTs: z.string(),
    last: z.number(),
    p50: quantile,
    p95: quantile,
    p99: quantile,
  })
  .openapi('Aggregate')

const columns = Object.keys(aggregate.shape)

const answer = z.object({ unit: z.string(), items: z.array(aggregate), next: z.string().nullable() })

const route = createRoute({
  method: 'get',
  path: '/v1/series/{id}/aggregates',
  tags: ['readings'],
  summary: 'Aggregates of one series by start; `next` in JSON, the header `tributary-next` in CSV',
  security: credentials,
  request: {
    params: z.object({ id: seriesId }),
    query: z.strictObject({
      from: instant.optional().openapi({ description: 'Of the start, inclusive; a day before `to` by default' }),
      to: instant.optional().openapi({ description: 'Of the start, exclusive; now by default' }),
      sizeMs: z.coerce.number().positive().optional().openapi({ description: 'Only windows of this length' }),
      limit: z.coerce.number().int().min(1).max(10_000).default(1000),
      cursor: cursorText.optional(),
      format: z.enum(['json', 'csv']).default('json'),
    }),
  },
  responses: {
    200: {
      description: 'A page of aggregates',
      content: { ...json(answer, '').content, 'text/csv': { schema: z.string() } },
    },
    404: notFound,
    ...problems,
  },
})

/** Start, size and hop of the last window given, µs. The end stays as it was asked first. */
const cursorForm = z.tuple([z.int(), z.int(), z.int(), z.int()])

export function aggregateRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(route, async c => {
    const { id } = c.req.valid('param')
    const { from, to, sizeMs, limit, cursor, format } = c.req.valid('query')
    const found = await findSeries(hub.database.pool, id)
    if (found === null) throw new TributaryError('not-found', `no series ${id}`)
    const past = decodeCursor(cursor, cursorForm)
    const toUs = past?.[3] ?? (to ?? hub.now()) * 1000
    const fromUs = past?.[0] ?? (from === undefined ? toUs - 86_400_000_000 : from * 1000)
    if (fromUs > toUs) throw new TributaryError('malformed', 'from: later than to (in the query)')
    const after = past === null ? undefined : { startUs: past[0], sizeUs: past[1], hopUs: past[2] }
    const sizeUs = sizeMs === undefined ? undefined : Math.round(sizeMs * 1000)
    const asked = { seriesId: id, fromUs, toUs, sizeUs, after, limit: limit + 1 }
    const rows = await readAggregates(hub.database.pool, asked)
    const { items, next } = page(rows, limit, last => [last.startUs, last.sizeUs, last.hopUs, toUs])
    if (format === 'json') return c.json({ unit: found.unit, items: items.map(aggregateJson), next }, 200)
    const lines = items
      .map(aggregateJson)
      .map(item => csvLine(columns.map(column => item[column as keyof typeof item])))
    if (next !== null) c.header('tributary-next', next)
    c.header('content-type', 'text/csv; charset=utf-8')
    return c.body(csvLine(columns) + lines.join(''), 200)
  })
}

function aggregateJson(row: AggregateRow): z.infer<typeof aggregate> {
  const { p50, p95, p99 } = row.quantiles ?? { p50: null, p95: null, p99: null }
  return {
    start: isoUs(row.startUs),
    sizeMs: row.sizeUs / 1000,
    hopMs: row.hopUs / 1000,
    parts: row.parts,
    n: row.n,
    sum: finite(row.sum),
    mean: row.mean,
    m2: finite(row.m2),
    min: row.min,
    max: row.max,
    firstTs: isoUs(row.firstUs),
    first: row.first,
    lastTs: isoUs(row.lastUs),
    last: row.last,
    p50,
    p95,
    p99,
  }
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
