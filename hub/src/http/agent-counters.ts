/** What an agent's newest header said of its readings, as the API gives it. */
import { z } from '@hono/zod-openapi'

const count = z.int()

export const agentCounters = z
  .object({
    accepted: count,
    stored: count,
    folded: count,
    suppressed: count,
    deadLettered: count,
    evicted: count,
    maybeDuplicate: count,
  })
  .openapi('AgentCounters', {
    description:
      'Since the agent’s first start, as it sealed its newest batch: accepted = stored + folded + suppressed + deadLettered + evicted',
  })

export const classCounters = z
  .object({
    class: z.enum(['raw', 'aggregate', 'alarm']),
    accepted: count,
    stored: count,
    folded: count,
    suppressed: count,
    evicted: count,
  })
  .openapi('ClassCounters', { description: 'The same for a class of series; dead letters have none' })

export interface ToldCounters {
  readonly counters: z.infer<typeof agentCounters> | null
  readonly classes: z.infer<typeof classCounters>[]
}

/** Headers of earlier agents tell neither `folded` nor classes. */
export function toldCounters(header: Readonly<Record<string, unknown>> | null): ToldCounters {
  if (header === null) return { counters: null, classes: [] }
  const classes = z.array(classCounters).safeParse(header.classes)
  return { counters: agentCounters.parse({ folded: 0, ...header }), classes: classes.data ?? [] }
}
