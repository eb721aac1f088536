/**
 * The HTTP proxy on the way to the hub: `hub.proxy`, else what the environment says as is usual (HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in
 * either case; the lower case counts first).
 *
 * The environment speaks of other machines: a hub on this one is never reached through a proxy that only it names. A proxy's user and
 * password stand apart from its address as soon as it is read, and appear in no message.
 */
import { TributaryError } from '@tributary/shared/errors'
import { isLoopback } from './hub-url.ts'

export interface HubProxy {
  /** Without user and password. */
  readonly url: URL
  /** Value of `proxy-authorization`; a secret. */
  readonly authorization: string | null
}

/** `configured`: an address, `none`, or null to go by the environment. Throws `config`. */
export function findProxy(hub: URL, configured: string | null, env: NodeJS.ProcessEnv): HubProxy | null {
  if (configured === 'none') return null
  if (configured !== null) return parseProxy(configured, 'hub.proxy')
  if (isLoopback(hub.hostname) || isExcepted(hub, variable(env, 'no_proxy') ?? '')) return null
  const name = hub.protocol === 'https:' ? 'https_proxy' : 'http_proxy'
  const address = variable(env, name)
  return address === null ? null : parseProxy(address, name.toUpperCase())
}

/** `source`: where it was written. */
export function parseProxy(text: string, source: string): HubProxy {
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.canParse(address) ? new URL(address) : null
  const usable =
    url && ['http:', 'https:'].includes(url.protocol) && url.hostname !== '' && url.pathname + url.search === '/'
  if (!usable) {
    throw new TributaryError('config', `${source} is not the address of an HTTP proxy`, {
      hint: 'write it like http://proxy.example.com:3128 or http://user:password@proxy.example.com:3128',
    })
  }
  const authorization = url.username === '' ? null : basicAuthorization(url, source)
  url.username = ''
  url.password = ''
  return { url, authorization }
}

function basicAuthorization({ username, password }: URL, source: string): string {
  try {
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    return `Basic ${Buffer.from(credentials).toString('base64')}`
  } catch {
    throw new TributaryError('config', `the user or password in ${source} is not percent-encoded as in a URL`, {
      hint: 'write % as %25, @ as %40, : as %3A',
    })
  }
}

/** Is the hub in the list of hosts that are reached directly? `*`, `host`, `.domain`, each with an optional port. */
function isExcepted(hub: URL, list: string): boolean {
  const port = hub.port === '' ? (hub.protocol === 'https:' ? '443' : '80') : hub.port
  const entries = list.toLowerCase().split(/[\s,]+/)
  return entries.some(entry => {
    if (entry === '') return false
    if (entry === '*') return true
    const [, name = entry, onPort] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? []
    if (onPort !== undefined && onPort !== port) return false
    const domain = name.replace(/^\*?\./, '')
    return hub.hostname === domain || hub.hostname.endsWith(`.${domain}`)
  })
}

function variable(env: NodeJS.ProcessEnv, name: string): string | null {
  return env[name] || env[name.toUpperCase()] || null
}
