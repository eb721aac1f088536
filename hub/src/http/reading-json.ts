/** A reading as the API gives it. */
import { z } from '@hono/zod-openapi'
import { qualityNames } from '@tributary/shared/reading'
import type { ReadingRow } from '../query/read-series.ts'

export const rawReading = z
  .object({
    ts: z.string().openapi({ description: 'ISO 8601 with microseconds', example: '2026-01-01T00:00:00.000000Z' }),
    value: z.union([z.number(), z.boolean(), z.string()]),
    quality: z.enum(qualityNames),
  })
  .openapi('Reading')

export function rawReadingJson(row: ReadingRow): z.infer<typeof rawReading> {
  return { ts: isoUs(row.tsUs), value: plainValue(row), quality: qualityNames[row.quality] ?? 'bad' }
}

/** The view gives a number, a string (value null) or a boolean (both). */
function plainValue(row: ReadingRow): number | boolean | string {
  if (row.text === null) return row.value ?? 0
  return row.value === null ? row.text : row.value === 1
}

/** ISO 8601 with microseconds. */
export function isoUs(tsUs: number): string {
  const ms = Math.floor(tsUs / 1000)
  return new Date(ms).toISOString().replace('Z', `${String(tsUs - ms * 1000).padStart(3, '0')}Z`)
}
