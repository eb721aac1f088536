/** An anomaly as the API gives it. */
import { z } from '@hono/zod-openapi'
import type { AnomalyRow } from '../query/list-anomalies.ts'
import { agentId, timestamp } from './schemas.ts'

export const severity = z.enum(['warning', 'critical'])

export const anomaly = z
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

export function anomalyJson({ openedUs, closedUs, ...row }: AnomalyRow): z.infer<typeof anomaly> {
  return {
    ...row,
    openedAt: new Date(openedUs / 1000).toISOString(),
    closedAt: closedUs === null ? null : new Date(closedUs / 1000).toISOString(),
  }
}
