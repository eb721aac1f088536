/** The fleet at a glance as the API gives it. */
import { z } from '@hono/zod-openapi'
import type { Overview } from '../query/read-overview.ts'

export const overview = z
  .object({
    hub: z.object({ version: z.string(), now: z.iso.datetime() }),
    agents: z
      .object({ total: z.int(), online: z.int(), offline: z.int(), revoked: z.int() })
      .openapi({ description: '`total` counts those too that never sent anything' }),
    series: z.int(),
    readings: z.int().openapi({ description: 'Stored and still kept' }),
    readingsPerSecond: z.number().openapi({ description: 'Stored, over the last seconds' }),
    anomalies: z
      .object({ open: z.int(), lastDay: z.int(), critical: z.int() })
      .openapi({ description: '`lastDay`: opened in the last 24 hours; `critical`: of those that are open' }),
    lost: z.int().openapi({ description: 'Readings that agents reported as lost, at most' }),
  })
  .openapi('Overview')

export function overviewJson(found: Overview, version: string, nowMs: number): z.infer<typeof overview> {
  return { hub: { version, now: new Date(nowMs).toISOString() }, ...found }
}
