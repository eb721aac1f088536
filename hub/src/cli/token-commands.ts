/** `tributary-hub token …`: enrolment tokens. */
import { type Command, UsageError } from '@tributary/shared/cli'
import { hubClient, hubOptions } from './hub-client.ts'
import { parseSpanS } from './span.ts'
import { table } from './table.ts'

interface Token {
  readonly tokenId: string
  readonly site: string
  readonly agentId: string | null
  readonly uses: number
  readonly used: number
  readonly expiresAt: string
  readonly revokedAt: string | null
}

const create: Command = {
  name: 'token create',
  summary: 'make a token with which gateways enrol',
  options: {
    site: { type: 'string', help: 'where the gateways stand', value: 'NAME', default: 'default' },
    labels: { type: 'string', help: 'labels of the agents: key=value,key=value', value: 'LABELS' },
    uses: { type: 'string', help: 'how many gateways it enrols', value: 'N', default: '1' },
    expires: { type: 'string', help: 'how long it can be used: 15m, 24h, 7d', value: 'TIME', default: '24h' },
    ...hubOptions,
  },
  examples: [
    'tributary-hub token create --site paper-mill',
    'tributary-hub token create --site paper-mill --uses 200 --expires 7d',
  ],
  async run(context) {
    const { values } = context
    const made = await hubClient(context).request<{ token: string; expiresAt: string; uses: number }>(
      'POST',
      '/v1/tokens',
      {
        site: values.site,
        labels: parseLabels(values.labels),
        uses: Number(values.uses),
        expiresInS: parseSpanS('expires', String(values.expires)),
      },
    )
    context.json(made)
    context.out(made.token)
    context.note(
      `Enrols ${made.uses === 1 ? 'one gateway' : `${made.uses} gateways`} until ${made.expiresAt}. It is not shown again.`,
    )
    return 0
  },
}

const list: Command = {
  name: 'token list',
  summary: 'tokens, the newest first',
  options: hubOptions,
  examples: ['tributary-hub token list', 'tributary-hub token list --json'],
  async run(context) {
    const tokens = await hubClient(context).list<Token>('/v1/tokens')
    context.json(tokens)
    const rows = tokens.map(one => [one.tokenId, one.site, `${one.used}/${one.uses}`, stateOf(one), one.agentId ?? ''])
    context.out(rows.length === 0 ? 'No tokens.' : table(['TOKEN', 'SITE', 'USED', 'STATE', 'FOR AGENT'], rows))
    return 0
  },
}

const revoke: Command = {
  name: 'token revoke',
  summary: 'let a token enrol nobody any more',
  positionals: '<token-id>',
  options: hubOptions,
  examples: ['tributary-hub token revoke abcdefghij23'],
  async run(context) {
    const id = onlyPositional(context.positionals, 'the id of one token')
    await hubClient(context).request('DELETE', `/v1/tokens/${encodeURIComponent(id)}`)
    context.json({ tokenId: id, revoked: true })
    context.out(`Token ${id} is revoked.`)
    return 0
  },
}

export const tokenCommands: readonly Command[] = [create, list, revoke]

/** The one argument that a command takes. */
export function onlyPositional(positionals: readonly string[], what: string): string {
  const [only] = positionals
  if (only === undefined || positionals.length > 1) throw new UsageError('unprocessable', `give ${what}`)
  return only
}

function stateOf(token: Token): string {
  if (token.revokedAt !== null) return 'revoked'
  if (token.used >= token.uses) return 'used up'
  return Date.parse(token.expiresAt) <= Date.now() ? 'expired' : `until ${token.expiresAt}`
}

function parseLabels(text: string | boolean | undefined): Record<string, string> {
  if (typeof text !== 'string') return {}
  const pairs = text.split(',').map(pair => {
    const at = pair.indexOf('=')
    if (at < 1) throw new UsageError('unprocessable', `--labels: ${pair} is not key=value`)
    return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const
  })
  return Object.fromEntries(pairs)
}
