/**
 * How the command line talks to a running hub: its REST API, with the admin key from TRIBUTARY_ADMIN_KEY or from the file that the
 * hub left in its data folder. Never from an argument: those are shown by `ps`.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CommandContext, type CommandOption, UsageError } from '@tributary/shared/cli'
import { type ErrorCode, messageOf, TributaryError } from '@tributary/shared/errors'

const timeoutMs = 30_000

/** Options of every command that talks to a hub. */
export const hubOptions: Readonly<Record<string, CommandOption>> = {
  hub: { type: 'string', help: 'address of the running hub (or TRIBUTARY_HUB_URL)', value: 'URL' },
  data: { type: 'string', help: 'data folder of the hub, for its admin key (or TRIBUTARY_ADMIN_KEY)', value: 'DIR' },
}

export interface HubClient {
  request<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<T>
  /** Every item of a list, page after page. */
  list<T>(path: string): Promise<T[]>
}

export function hubClient({ values, env }: Pick<CommandContext, 'values' | 'env'>): HubClient {
  const origin = originOf(String(values.hub ?? env.TRIBUTARY_HUB_URL ?? 'http://127.0.0.1:8080'))
  const key = readKey(values.data, env)
  const request = async <T>(method: string, path: string, body?: unknown) => {
    const response = await send(new URL(path, origin), {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(timeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return (response.status === 204 ? undefined : await response.json()) as T
  }
  return {
    request,
    async list<T>(path: string) {
      const items: T[] = []
      let next: string | null = null
      do {
        const url = new URL(path, origin)
        url.searchParams.set('limit', '1000')
        if (next !== null) url.searchParams.set('cursor', next)
        const page: { items: T[]; next: string | null } = await request('GET', url.pathname + url.search)
        items.push(...page.items)
        next = page.next
      } while (next !== null)
      return items
    },
  }
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, init)
  } catch (cause) {
    const why = messageOf((cause as Error).cause ?? cause)
    throw new TributaryError('unavailable', `no hub answers at ${url.origin} (${why || 'connection refused'})`, {
      cause,
      hint: 'Start it with tributary-hub serve, or name another one with --hub URL',
    })
  }
  if (response.ok) return response
  const problem = (await response.json().catch(() => ({}))) as { code?: ErrorCode; detail?: string }
  throw new TributaryError(problem.code ?? 'internal', problem.detail ?? `the hub answered ${response.status}`)
}

function originOf(text: string): URL {
  try {
    return new URL(text)
  } catch (cause) {
    throw new UsageError('unprocessable', `--hub: ${text} is not an address`, {
      cause,
      hint: 'Such as http://127.0.0.1:8080',
    })
  }
}

function readKey(data: string | boolean | undefined, env: NodeJS.ProcessEnv): string {
  const given = env.TRIBUTARY_ADMIN_KEY
  if (given !== undefined && data === undefined) return given.trim()
  const folder = typeof data === 'string' ? data : (env.TRIBUTARY_DATA_DIR ?? 'hub-data')
  const file = join(folder, 'admin-key')
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw new TributaryError(
      'unauthenticated',
      `the admin key cannot be read from ${file} (${(cause as NodeJS.ErrnoException).code})`,
      {
        cause,
        hint: 'Name the hub’s data folder with --data DIR, or set TRIBUTARY_ADMIN_KEY; a lost key is replaced by serve --new-admin-key',
      },
    )
  }
}
