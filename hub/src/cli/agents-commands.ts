/** `tributary-hub agents …`: the fleet. */
import type { Command } from '@tributary/shared/cli'
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
    ])
    context.out(rows.length === 0 ? 'No agents.' : table(['AGENT', 'NAME', 'SITE', 'LAST SEEN'], rows))
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

export const agentsCommands: readonly Command[] = [list, revoke, rotate]
