/**
 * The open form of a batch: `application/json`, columnar, for clients without the binary codec. Plain, gzip or zstd.
 *
 *   { "header": { "agentId": "ag-…", "epoch": 1, "seq": 1 },
 *     "series": [ { "device": "pump-1", "metric": "temperature", "unit": "Cel",
 *                   "ts": [1767225600000000], "values": [21.5], "quality": [0] } ] }
 *
 * `ts` are microseconds since 1970; `quality` is 0 good, 1 uncertain, 2 bad, and may be left out when all are good. What else a
 * binary header carries may be given too; aggregates may not. The signature rules are the same. The same document gives the same binary batch, so a
 * retry is recognised.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { type Batch, noCounters, readingClasses, type SeriesColumns } from '@tributary/shared/batch/batch'
import { maxRecallsDone } from '@tributary/shared/batch/batch-header'
import { TributaryError } from '@tributary/shared/errors'
import { batchLimits } from '@tributary/shared/protocol'
import { z } from 'zod'

const count = z.int().nonnegative()
const us = z.int()

const classCounters = z.strictObject({
  class: z.enum(readingClasses),
  accepted: count,
  stored: count,
  folded: count,
  suppressed: count,
  evicted: count,
})

const counters = z.strictObject({
  accepted: count,
  stored: count,
  suppressed: count,
  deadLettered: count,
  evicted: count,
  maybeDuplicate: count,
  folded: count.default(0),
  classes: z.array(classCounters).max(readingClasses.length).default([]),
})

const recallDone = z.strictObject({ id: count, readings: count, complete: z.boolean() })

const loss = z.strictObject({
  epoch: count,
  fromSeq: count,
  toSeq: count,
  readings: count,
  exact: z.boolean(),
  reason: z.string().min(1).max(64),
})

const header = z.strictObject({
  agentId: z.string().min(1).max(64),
  epoch: z
    .int()
    .min(1)
    .max(2 ** 48 - 1),
  seq: z
    .int()
    .min(1)
    .max(2 ** 48 - 1),
  bootId: z.string().max(64).default(''),
  monotonicUs: count.default(0),
  wallUs: us.default(0),
  counters: counters.default({ ...noCounters, classes: [] }),
  losses: z.array(loss).max(1000).default([]),
  recallsDone: z.array(recallDone).max(maxRecallsDone).default([]),
})

const series = z
  .strictObject({
    device: z.string(),
    metric: z.string(),
    unit: z.string().default(''),
    ts: z.array(us).max(batchLimits.readings),
    values: z.array(z.union([z.number(), z.boolean(), z.string()])).max(batchLimits.readings),
    quality: z
      .array(z.union([z.literal(0), z.literal(1), z.literal(2)]))
      .max(batchLimits.readings)
      .optional(),
  })
  .refine(one => one.values.length === one.ts.length && (one.quality?.length ?? one.ts.length) === one.ts.length, {
    error: 'ts, values and quality must have the same length',
  })

/** What the open form may say; shown in the OpenAPI document. */
export const jsonBatch = z.strictObject({ header, series: z.array(series).max(batchLimits.series) })

/** Throws `malformed` or `too-large`. `contentEncoding` is '', `identity`, `gzip` or `zstd`. */
export function parseJsonBatch(body: Uint8Array, contentEncoding: string): Batch {
  const parsed = jsonBatch.safeParse(parseJson(inflate(body, contentEncoding)))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new TributaryError(
      'malformed',
      `the batch is not in the open form: ${issue?.path.join('.') || 'document'}: ${issue?.message}`,
    )
  }
  const columns = parsed.data.series.map(toColumns)
  const readings = columns.reduce((sum, column) => sum + column.tsUs.length, 0)
  if (readings > batchLimits.readings) {
    throw new TributaryError(
      'too-large',
      `the batch has ${readings} readings; at most ${batchLimits.readings} are taken`,
    )
  }
  return { header: parsed.data.header, columns, aggregates: [] }
}

function toColumns(one: z.infer<typeof series>): SeriesColumns {
  const numbers = one.values.every(value => typeof value === 'number')
  return {
    series: { device: one.device, metric: one.metric, unit: one.unit },
    tsUs: Float64Array.from(one.ts),
    values: numbers ? Float64Array.from(one.values as number[]) : one.values,
    quality: one.quality?.some(quality => quality !== 0) ? Uint8Array.from(one.quality) : null,
  }
}

function inflate(body: Uint8Array, contentEncoding: string): Uint8Array {
  const options = { maxOutputLength: batchLimits.inflatedBytes }
  try {
    if (contentEncoding === 'gzip') return gunzipSync(body, options)
    if (contentEncoding === 'zstd') return zstdDecompressSync(body, options)
    return body
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new TributaryError(
        'too-large',
        `the batch is longer than ${batchLimits.inflatedBytes} bytes after ${contentEncoding}`,
        { cause },
      )
    }
    throw new TributaryError('malformed', `the body is not ${contentEncoding}`, { cause })
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new TributaryError('malformed', 'the body is not JSON in UTF-8', { cause })
  }
}
