/**
 * Cursors: where a page ended, opaque to the caller. A JSON array in base64url; each list says of which types it is made. A cursor
 * is no secret and proves nothing: what it names is bound as a parameter like any other input.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { z } from 'zod'

export function encodeCursor(values: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url')
}

/** The values of a cursor, or null without one; throws `malformed` when it is not one of this list's. */
export function decodeCursor<T>(text: string | undefined, schema: z.ZodType<T>): T | null {
  if (text === undefined) return null
  const parsed = schema.safeParse(parse(text))
  if (!parsed.success) throw new TributaryError('malformed', 'cursor: not a cursor of this list')
  return parsed.data
}

function parse(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString())
  } catch (cause) {
    throw new TributaryError('malformed', 'cursor: not a cursor of this list', { cause })
  }
}

/** One more row than the page was asked for, so that the last page says so. */
export function page<Row>(rows: readonly Row[], limit: number, cursorOf: (last: Row) => readonly (string | number)[]) {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last !== undefined ? encodeCursor(cursorOf(last)) : null }
}
