/** GET /v1/series/{id}/readings: raw readings or minutes, as JSON or CSV. */
import { createRoute, z } from '@hono/zod-openapi'
import { csvLine } from '@tributary/shared/csv'
import { TributaryError } from '@tributary/shared/errors'
import { findSeries } from '../../query/list-series.ts'
import { readMinutes } from '../../query/read-minutes.ts'
import { readSeries } from '../../query/read-series.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import { isoUs, rawReading, rawReadingJson } from '../reading-json.ts'
import { credentials, cursorText, instant, json, notFound, problems, seriesId } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

/** `auto` gives raw readings up to this span, minutes beyond it. */
const autoRawMs = 6 * 3600_000

const minuteUs = 60_000_000

const minute = z.object({
  ts: z.string().openapi({ description: 'Start of the minute' }),
  readings: z.int().openapi({ description: 'Readings of any kind and quality' }),
  n: z.int().openapi({ description: 'Of them, the numbers and booleans that are not bad: what the rest is about' }),
  mean: z.number().nullable(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  first: z.number().nullable(),
  last: z.number().nullable(),
})

const answer = z
  .object({
    resolution: z.enum(['raw', '1m']),
    unit: z.string(),
    items: z.union([z.array(rawReading), z.array(minute)]),
    next: z.string().nullable(),
  })
  .openapi('Readings')

const route = createRoute({
  method: 'get',
  path: '/v1/series/{id}/readings',
  tags: ['readings'],
  summary: 'Readings of one series by time; `next` in JSON, the header `tributary-next` in CSV',
  security: credentials,
  request: {
    params: z.object({ id: seriesId }),
    query: z.strictObject({
      from: instant.optional().openapi({ description: 'Inclusive; an hour before `to` by default' }),
      to: instant.optional().openapi({ description: 'Exclusive; now by default' }),
      resolution: z.enum(['raw', '1m', 'auto']).default('auto'),
      limit: z.coerce.number().int().min(1).max(10_000).default(1000),
      cursor: cursorText.optional(),
      format: z.enum(['json', 'csv']).default('json'),
    }),
  },
  responses: {
    200: {
      description: 'A page of readings',
      content: { ...json(answer, '').content, 'text/csv': { schema: z.string() } },
    },
    404: notFound,
    ...problems,
  },
})

const rawColumns = ['ts', 'value', 'quality']
const minuteColumns = ['ts', 'readings', 'n', 'mean', 'min', 'max', 'first', 'last']

/** Resolution, where to go on (µs), and how many readings of exactly that time were given. The end stays as it was asked first. */
const cursorForm = z.tuple([z.enum(['raw', '1m']), z.int(), z.int().nonnegative(), z.int()])

interface Span {
  readonly resolution: 'raw' | '1m'
  readonly fromUs: number
  readonly skip: number
  readonly toUs: number
}

export function readingRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(route, async c => {
    const { id } = c.req.valid('param')
    const { format, limit, ...query } = c.req.valid('query')
    const series = await findSeries(hub.database.pool, id)
    if (series === null) throw new TributaryError('not-found', `no series ${id}`)
    const span = spanOf(query, hub.now())
    const { items, next } = await (span.resolution === 'raw' ? rawPage : minutePage)(hub, id, span, limit)
    if (format === 'json') return c.json({ resolution: span.resolution, unit: series.unit, items, next }, 200)
    const columns = span.resolution === 'raw' ? rawColumns : minuteColumns
    const lines = items.map(item => csvLine(columns.map(column => (item as Record<string, unknown>)[column])))
    if (next !== null) c.header('tributary-next', next)
    c.header('content-type', 'text/csv; charset=utf-8')
    return c.body(csvLine(columns) + lines.join(''), 200)
  })
}

interface SpanQuery {
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly resolution: 'raw' | '1m' | 'auto'
  readonly cursor?: string | undefined
}

function spanOf(query: SpanQuery, nowMs: number): Span {
  const cursor = decodeCursor(query.cursor, cursorForm)
  if (cursor !== null) {
    const [resolution, fromUs, skip, toUs] = cursor
    return { resolution, fromUs, skip, toUs }
  }
  const toMs = query.to ?? nowMs
  const fromMs = query.from ?? toMs - 3600_000
  if (fromMs > toMs) throw new TributaryError('malformed', 'from: later than to (in the query)')
  const auto = toMs - fromMs <= autoRawMs ? 'raw' : '1m'
  const resolution = query.resolution === 'auto' ? auto : query.resolution
  return { resolution, fromUs: fromMs * 1000, skip: 0, toUs: toMs * 1000 }
}

async function rawPage(hub: HubServices, seriesId: number, span: Span, limit: number) {
  const rows = await readSeries(hub.database.pool, { ...span, seriesId, limit: limit + 1 })
  const given = rows.slice(0, limit)
  const last = given.at(-1)
  const more = rows.length > limit && last !== undefined
  const items = given.map(rawReadingJson)
  if (!more) return { items, next: null }
  const equal = given.length - given.findIndex(row => row.tsUs === last.tsUs)
  const skip = last.tsUs === span.fromUs ? span.skip + equal : equal
  return { items, next: encodeCursor(['raw', last.tsUs, skip, span.toUs]) }
}

async function minutePage(hub: HubServices, seriesId: number, span: Span, limit: number) {
  const rows = await readMinutes(hub.database.pool, { ...span, seriesId, limit: limit + 1 })
  const given = rows.slice(0, limit)
  const last = given.at(-1)
  const items = given.map(({ tsUs, ...row }) => ({ ts: isoUs(tsUs), ...row }))
  const more = rows.length > limit && last !== undefined
  return { items, next: more ? encodeCursor(['1m', last.tsUs + minuteUs, 0, span.toUs]) : null }
}
