/** An agent as the API gives it. */
import { z } from '@hono/zod-openapi'
import { agentStatuses, onlineMs } from '../query/agent-status.ts'
import type { AgentRow } from '../query/list-agents.ts'
import { agentCounters, classCounters, toldCounters } from './agent-counters.ts'
import { isoUs } from './reading-json.ts'
import { agentId, timestamp } from './schemas.ts'

export const agent = z
  .object({
    agentId,
    site: z.string(),
    name: z.string(),
    labels: z.record(z.string(), z.string()),
    createdAt: timestamp,
    revokedAt: timestamp,
    lastSeenAt: timestamp,
    counters: agentCounters.nullable(),
    classes: z.array(classCounters),
    bootId: z.string().nullable(),
    epoch: z.int().nullable(),
    keys: z.int().openapi({ description: 'Keys that are valid now; two while a rotation overlaps' }),
    status: z.enum(agentStatuses).openapi({ description: `online: a batch within the last ${onlineMs / 1000} s` }),
    lastReadingAt: timestamp.openapi({ description: 'Newest event time stored' }),
    lagMs: z.number().nullable().openapi({ description: 'The hub’s time less `lastReadingAt`' }),
    backlogReadings: z.int().nullable().openapi({
      description:
        'Held for the hub when the newest batch was sealed, and not taken since; null before the first batch',
    }),
    lostReadings: z.int().openapi({ description: 'Reported as lost, at most' }),
    missingBatches: z.int().openapi({
      description: 'Neither here nor reported lost, and the agent holds them no longer: see /v1/gaps',
    }),
    conflicts: z.int().openapi({
      description:
        'Batches of the last 30 days that came under the identity of another one: the gateway was cloned, or restored from an image',
    }),
  })
  .openapi('Agent')

/** At the hub's time. A reading may be a little ahead of it: then there is no lag. */
export function agentJson(
  { agentNo: _, lastReadingUs, counters, ...row }: AgentRow,
  nowMs: number,
): z.infer<typeof agent> {
  return {
    ...row,
    ...toldCounters(counters),
    createdAt: row.createdAt.toISOString(),
    revokedAt: row.revokedAt?.toISOString() ?? null,
    lastSeenAt: row.lastSeenAt?.toISOString() ?? null,
    lastReadingAt: lastReadingUs === null ? null : isoUs(lastReadingUs),
    lagMs: lastReadingUs === null ? null : Math.max(0, nowMs - lastReadingUs / 1000),
  }
}
