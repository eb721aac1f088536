/** Parts that several routes' documents share. */
import { z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'

export const agentId = z
  .string()
  .regex(/^ag-[a-z2-7]{20}$/, 'not an agent id (ag- and 20 characters)')
  .openapi({ example: 'ag-abcdefghij234567abcd' })

/** Text in a query that is compared with stored text: no U+0000, which Postgres refuses. */
export const queryText = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\0]*$/, 'must not hold U+0000')

export const cursorText = z.string().max(1024).openapi({ description: '`next` of the page before' })

export const pageLimit = z.coerce.number().int().min(1).max(1000).default(100)

const largestId = 2 ** 31 - 1

export const seriesId = z.coerce.number().int().min(1).max(largestId)

/** Series that one request may name. */
export const maxSeriesIds = 50

/** `1,2,3`, each once. */
export const seriesIds = z
  .string()
  .transform((text, context) => {
    const ids = new Set(text === '' ? [] : text.split(',').map(id => (/^\d{1,10}$/.test(id) ? Number(id) : 0)))
    if ([...ids].every(id => id >= 1 && id <= largestId) && ids.size <= maxSeriesIds) return [...ids]
    context.addIssue({ code: 'custom', message: `not at most ${maxSeriesIds} ids of series, as 1,2,3` })
    return z.NEVER
  })
  .openapi({ type: 'string', description: `At most ${maxSeriesIds} ids of series`, example: '1,2,3' })

/** ISO 8601 with a zone, or milliseconds since 1970, as milliseconds. */
export const instant = z
  .string()
  .transform((text, context) => {
    const ms = /^-?\d{1,15}$/.test(text) ? Number(text) : parseIso(text)
    if (ms >= -8.64e15 && ms <= 8.64e15) return ms
    context.addIssue({ code: 'custom', message: 'neither ISO 8601 with a zone nor milliseconds since 1970' })
    return z.NEVER
  })
  .openapi({
    type: 'string',
    description: 'ISO 8601 with a zone, or milliseconds since 1970',
    example: '2026-01-01T00:00:00Z',
  })

function parseIso(text: string): number {
  return /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN
}

export const timestamp = z.iso.datetime().nullable()

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    hubTimeMs: z.int().optional(),
  })
  .openapi('Problem')

/** The failures that every route of people may answer. */
export const problems = {
  400: {
    description: 'A parameter is wrong; `detail` names it',
    content: { 'application/problem+json': { schema: problem } },
  },
  401: {
    description: 'No API key and no session, or one that is not valid',
    content: { 'application/problem+json': { schema: problem } },
  },
  403: {
    description: 'The key does not hold the permission, or a session’s cookie came with the request of another site',
    content: { 'application/problem+json': { schema: problem } },
  },
  503: { description: 'Try again after `Retry-After`', content: { 'application/problem+json': { schema: problem } } },
} as const

export const notFound = {
  description: 'No such thing',
  content: { 'application/problem+json': { schema: problem } },
} as const

/** A page of `item`. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().nullable() })
}

export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } }
}

/** What every route of people requires, in the document: one of these. */
export const credentials = [{ apiKey: [] }, { session: [] }]

/** `validator` of every route: the first thing wrong, with the parameter's name, as 400. */
export function refuseInvalid(result: { target: string; success: boolean; error?: z.ZodError }): void {
  if (result.success || result.error === undefined) return
  const issue = result.error.issues[0]
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const where = result.target === 'json' ? 'body' : result.target === 'param' ? 'path' : 'query'
  const name = unknown ?? issue?.path.join('.') ?? ''
  const what = unknown === undefined ? issue?.message : `no such parameter`
  throw new TributaryError('malformed', `${name || where}: ${what} (in the ${where})`)
}
