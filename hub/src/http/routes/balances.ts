/** GET /v1/balances, GET /v1/agents/{id}/epochs: the agents' books against what is here. */
import { createRoute, z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'
import { agentStatuses } from '../../query/agent-status.ts'
import { listAgents } from '../../query/list-agents.ts'
import { type BalanceRow, listBalances, verdicts } from '../../query/list-balances.ts'
import { listEpochs } from '../../query/list-epochs.ts'
import { agentCounters, classCounters, toldCounters } from '../agent-counters.ts'
import { decodeCursor, page } from '../cursor.ts'
import {
  agentId,
  credentials,
  cursorText,
  json,
  notFound,
  pageLimit,
  pageOf,
  problems,
  queryText,
  timestamp,
} from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const balance = z
  .object({
    agentId,
    site: z.string(),
    name: z.string(),
    status: z.enum(agentStatuses),
    lastSeenAt: timestamp,
    verdict: z.enum(verdicts).openapi({
      description:
        '`missing`: batches that the agent holds no longer are neither here nor reported lost; `on-its-way`: the agent still holds some; `never`: nothing came yet',
    }),
    counters: agentCounters.nullable(),
    classes: z.array(classCounters),
    receivedBatches: z.int(),
    receivedReadings: z.int().nullable().openapi({
      description: 'Refused ones included; null for an agent that sent before the hub counted them',
    }),
    rejectedReadings: z.int().openapi({ description: 'Of those received, refused: they are in the dead letters' }),
    lostReadings: z.int().openapi({ description: 'Reported as lost, at most' }),
    missingBatches: z.int(),
    batchesOnTheirWay: z.int().openapi({ description: 'As far as a later one came' }),
    readingsOnTheirWay: z.int().nullable().openapi({
      description: 'Held for the hub and not here, those of missing batches included',
    }),
    lossesToTell: z.int().openapi({ description: 'Readings that the agent counted as lost and has not reported yet' }),
  })
  .openapi('Balance')

const run = z.tuple([z.int(), z.int()]).openapi({ description: 'First and last seq of an unbroken run' })

const epoch = z
  .object({
    epoch: z.int(),
    floor: z.int().openapi({ description: 'Below it the agent has sent everything, or has it in its ledger' }),
    readings: z.int().nullable(),
    received: z.array(run),
    lost: z.array(run),
    missing: z.array(run),
    onItsWay: z.array(run),
  })
  .openapi('Epoch')

const balances = createRoute({
  method: 'get',
  path: '/v1/balances',
  tags: ['agents'],
  summary: 'Whether everything that agents took is here, on its way, or on their books as lost',
  security: credentials,
  request: {
    query: z.strictObject({
      agent: agentId.optional(),
      site: queryText.optional(),
      limit: pageLimit,
      cursor: cursorText.optional(),
    }),
  },
  responses: { 200: json(pageOf(balance), 'A page of agents'), ...problems },
})

const epochs = createRoute({
  method: 'get',
  path: '/v1/agents/{id}/epochs',
  tags: ['agents'],
  summary: 'What is here of each epoch of an agent',
  security: credentials,
  request: {
    params: z.object({ id: agentId }),
    query: z.strictObject({ limit: pageLimit, cursor: cursorText.optional() }),
  },
  responses: { 200: json(pageOf(epoch), 'A page of epochs'), 404: notFound, ...problems },
})

export function balanceRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(balances, async c => {
    const { agent, site, limit, cursor } = c.req.valid('query')
    const afterNo = decodeCursor(cursor, z.tuple([z.int()]))?.[0]
    const filter = { agentId: agent, site, afterNo, limit: limit + 1, nowMs: hub.now() }
    const { items, next } = page(await listBalances(hub.database.pool, filter), limit, last => [last.agentNo])
    return c.json({ items: items.map(balanceJson), next }, 200)
  })
  app.openapi(epochs, async c => {
    const { id } = c.req.valid('param')
    const { limit, cursor } = c.req.valid('query')
    const { pool } = hub.database
    const [known] = await listAgents(pool, { agentId: id, limit: 1, nowMs: hub.now() })
    if (known === undefined) throw new TributaryError('not-found', `no agent ${id}`)
    const after = decodeCursor(cursor, z.tuple([z.int()]))?.[0]
    const rows = await listEpochs(pool, { agentId: id, after, limit: limit + 1 })
    const { items, next } = page(rows, limit, last => [last.epoch])
    return c.json({ items, next }, 200)
  })
}

function balanceJson({ agentNo: _, counters, lastSeenAt, ...row }: BalanceRow): z.infer<typeof balance> {
  return { ...row, lastSeenAt: lastSeenAt?.toISOString() ?? null, ...toldCounters(counters) }
}
