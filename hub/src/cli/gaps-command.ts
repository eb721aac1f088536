/** `tributary-hub gaps`: the agents' books against what is here; exit code 1 when something is missing. */
import type { Command } from '@tributary/shared/cli'
import { type HubClient, hubClient, hubOptions } from './hub-client.ts'
import { table } from './table.ts'

interface Balance {
  readonly agentId: string
  readonly name: string
  readonly site: string
  readonly lastSeenAt: string | null
  readonly verdict: 'balanced' | 'on-its-way' | 'missing' | 'never'
  readonly counters: { readonly accepted: number } | null
  readonly receivedReadings: number | null
  readonly lostReadings: number
  readonly missingBatches: number
  readonly batchesOnTheirWay: number
  readonly readingsOnTheirWay: number | null
  readonly lossesToTell: number
}

interface Gap {
  readonly agentId: string
  readonly epoch: number
  readonly kind: 'missing' | 'on-its-way' | 'lost'
  readonly fromSeq: number
  readonly toSeq: number
  readonly readings: number | null
  readonly exact: boolean | null
  readonly reason: string | null
}

export const gaps: Command = {
  name: 'gaps',
  summary: 'whether everything that agents took is here; exit code 1 when something is missing',
  options: {
    agent: { type: 'string', help: 'one agent, with every batch that is not here', value: 'ID' },
    site: { type: 'string', help: 'the agents of this site only', value: 'NAME' },
    ...hubOptions,
  },
  examples: [
    'tributary-hub gaps',
    'tributary-hub gaps --agent ag-abcdefghij234567abcd',
    'tributary-hub gaps --json | jq \'.agents[] | select(.verdict == "missing")\'',
  ],
  async run(context) {
    const { agent, site } = context.values
    const query = new URLSearchParams()
    if (typeof agent === 'string') query.set('agent', agent)
    if (typeof site === 'string') query.set('site', site)
    const client = hubClient(context)
    const agents = await client.list<Balance>(`/v1/balances?${query}`)
    const found = await gapsOf(client, agents, agent)
    context.json({ agents, gaps: found })
    if (agents.length === 0) context.out('No agents.')
    else
      context.out(table(['AGENT', 'NAME', 'LAST SEEN', 'ACCEPTED', 'HERE', 'LOST', 'VERDICT'], agents.map(balanceRow)))
    if (found.length > 0) {
      context.out('')
      context.out(table(['AGENT', 'EPOCH', 'BATCHES', 'KIND', 'READINGS', 'REASON'], found.map(gapRow)))
    }
    return agents.some(({ verdict }) => verdict === 'missing') ? 1 : 0
  },
}

/** Of one agent all of them; else what is missing. */
async function gapsOf(client: HubClient, agents: readonly Balance[], agent: unknown): Promise<Gap[]> {
  if (typeof agent === 'string') return await client.list<Gap>(`/v1/gaps?agent=${encodeURIComponent(agent)}`)
  const found: Gap[] = []
  for (const { agentId } of agents.filter(({ verdict }) => verdict === 'missing')) {
    const ofAgent = await client.list<Gap>(`/v1/gaps?agent=${agentId}`)
    found.push(...ofAgent.filter(({ kind }) => kind === 'missing'))
  }
  return found
}

function balanceRow(one: Balance): string[] {
  return [
    one.agentId,
    one.name,
    one.lastSeenAt ?? 'never',
    String(one.counters?.accepted ?? 0),
    String(one.receivedReadings ?? '?'),
    String(one.lostReadings),
    verdictOf(one),
  ]
}

function verdictOf(one: Balance): string {
  const { verdict, missingBatches, readingsOnTheirWay, batchesOnTheirWay, lossesToTell } = one
  switch (verdict) {
    case 'balanced':
      return 'balanced'
    case 'never':
      return 'nothing came yet'
    case 'missing': {
      const most = readingsOnTheirWay === null ? '' : `, at most ${readingsOnTheirWay} readings`
      return `missing ${missingBatches} ${missingBatches === 1 ? 'batch' : 'batches'}${most}`
    }
    case 'on-its-way': {
      if ((readingsOnTheirWay ?? 0) > 0) return `on its way ${readingsOnTheirWay}`
      if (batchesOnTheirWay > 0) return `on its way ${batchesOnTheirWay} batches`
      return `on its way: the report of ${lossesToTell} lost`
    }
    default:
      return verdict satisfies never
  }
}

function gapRow({ agentId, epoch, kind, fromSeq, toSeq, readings, exact, reason }: Gap): string[] {
  const batches = toSeq < fromSeq ? 'none yet' : fromSeq === toSeq ? String(fromSeq) : `${fromSeq}–${toSeq}`
  const count = readings === null ? '' : `${exact ? '' : 'at most '}${readings}`
  return [agentId, String(epoch), batches, kind.replaceAll('-', ' '), count, reason ?? '']
}
