/** `tributary-hub agents …`: the fleet. */
import { type Command, type CommandContext, UsageError } from '@tributary/shared/cli'
import { hubClient, hubOptions } from './hub-client.ts'
import { parseSpanS } from './span.ts'
import { table } from './table.ts'
import { onlyPositional } from './token-commands.ts'

interface Agent {
  readonly agentId: string
  readonly name: string
  readonly site: string
  readonly lastSeenAt: string | null
  readonly revokedAt: string | null
  readonly lostReadings: number
  readonly conflicts: number
}

const list: Command = {
  name: 'agents list',
  summary: 'agents, in the order of their enrolment',
  options: { site: { type: 'string', help: 'of this site only', value: 'NAME' }, ...hubOptions },
  examples: ['tributary-hub agents list', 'tributary-hub agents list --site paper-mill --json'],
  async run(context) {
    const { site } = context.values
    const query = typeof site === 'string' ? `?site=${encodeURIComponent(site)}` : ''
    const agents = await hubClient(context).list<Agent>(`/v1/agents${query}`)
    context.json(agents)
    const rows = agents.map(one => [
      one.agentId,
      one.name,
      one.site,
      one.revokedAt === null ? (one.lastSeenAt ?? 'never') : 'revoked',
      String(one.lostReadings),
      String(one.conflicts),
    ])
    context.out(
      rows.length === 0 ? 'No agents.' : table(['AGENT', 'NAME', 'SITE', 'LAST SEEN', 'LOST', 'CONFLICTS'], rows),
    )
    const cloned = agents.filter(({ conflicts }) => conflicts > 0).map(({ name }) => name)
    if (cloned.length > 0) context.note(`Running twice, or restored from an image? ${cloned.join(', ')}`)
    return 0
  },
}

const revoke: Command = {
  name: 'agents revoke',
  summary: 'refuse everything that an agent sends; final',
  positionals: '<agent-id>',
  options: hubOptions,
  examples: ['tributary-hub agents revoke ag-abcdefghij234567abcd'],
  async run(context) {
    const id = onlyPositional(context.positionals, 'the id of one agent')
    const revoked = await hubClient(context).request('POST', `/v1/agents/${encodeURIComponent(id)}/revoke`)
    context.json(revoked)
    context.out(`Agent ${id} is revoked.`)
    return 0
  },
}

const rotate: Command = {
  name: 'agents rotate',
  summary: 'make a token with which an agent takes a new key',
  positionals: '<agent-id>',
  options: {
    expires: { type: 'string', help: 'how long it can be used: 15m, 24h, 7d', value: 'TIME', default: '7d' },
    ...hubOptions,
  },
  examples: ['tributary-hub agents rotate ag-abcdefghij234567abcd'],
  async run(context) {
    const id = onlyPositional(context.positionals, 'the id of one agent')
    const expiresInS = parseSpanS('expires', String(context.values.expires))
    const path = `/v1/agents/${encodeURIComponent(id)}/rotate?expiresInS=${expiresInS}`
    const made = await hubClient(context).request<{ token: string; expiresAt: string }>('POST', path)
    context.json(made)
    context.out(made.token)
    context.note(`Gives ${id} a new key until ${made.expiresAt}. It is not shown again.`)
    return 0
  },
}

interface Recall {
  readonly recallId: number
  readonly device: string
  readonly metric: string
  readonly from: string
  readonly to: string
  readonly state: string
  readonly readings: number | null
}

const recall: Command = {
  name: 'agents recall',
  summary: 'ask an agent for readings that it folded or kept back',
  positionals: '<agent-id>',
  options: {
    device: { type: 'string', help: 'device of the series', value: 'NAME' },
    metric: { type: 'string', help: 'metric of the series', value: 'NAME' },
    from: { type: 'string', help: 'first time, ISO 8601 with a zone', value: 'TIME' },
    to: { type: 'string', help: 'time before which it ends', value: 'TIME' },
    ...hubOptions,
  },
  examples: [
    'tributary-hub agents recall ag-abcdefghij234567abcd --device press-1 --metric vibration --from 2026-01-01T10:00:00Z --to 2026-01-01T10:05:00Z',
  ],
  async run(context) {
    const id = onlyPositional(context.positionals, 'the id of one agent')
    const asked = {
      device: required(context, 'device'),
      metric: required(context, 'metric'),
      from: required(context, 'from'),
      to: required(context, 'to'),
    }
    const made = await hubClient(context).request<Recall>('POST', recallsPath(id), asked)
    context.json(made)
    context.out(`Recall ${made.recallId} is ${made.state}.`)
    context.note(`The agent hears of it with its next batches. See: tributary-hub agents recalls ${id}`)
    return 0
  },
}

const recalls: Command = {
  name: 'agents recalls',
  summary: 'recalls of an agent, newest first, and what became of them',
  positionals: '<agent-id>',
  options: hubOptions,
  examples: ['tributary-hub agents recalls ag-abcdefghij234567abcd'],
  async run(context) {
    const id = onlyPositional(context.positionals, 'the id of one agent')
    const all = await hubClient(context).list<Recall>(recallsPath(id))
    context.json(all)
    const rows = all.map(one => [
      String(one.recallId),
      one.device,
      one.metric,
      one.from,
      one.to,
      one.state,
      one.readings === null ? '' : String(one.readings),
    ])
    const heads = ['RECALL', 'DEVICE', 'METRIC', 'FROM', 'TO', 'STATE', 'READINGS']
    context.out(rows.length === 0 ? 'No recalls.' : table(heads, rows))
    return 0
  },
}

function recallsPath(agentId: string): string {
  return `/v1/agents/${encodeURIComponent(agentId)}/recalls`
}

function required({ values }: CommandContext, name: string): string {
  const value = values[name]
  if (typeof value === 'string' && value !== '') return value
  throw new UsageError('unprocessable', `--${name} is missing`, {
    hint: 'A recall needs --device, --metric, --from and --to',
  })
}

export const agentsCommands: readonly Command[] = [list, revoke, rotate, recall, recalls]
