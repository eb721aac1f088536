/**
 * Who sends a request: an API key in the header `authorization`, or a session in a cookie. The header wins where both are sent.
 *
 * A browser sends the cookie on its own, also for a page of somebody else. `SameSite=Strict` keeps that off already; beside it,
 * whatever changes something must say that it comes from this hub's own page (`sec-fetch-site`, or `origin` in older browsers).
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Context } from 'hono'
import { getCookie } from 'hono/cookie'
import type { ApiKeys, Principal } from '../../auth/api-keys.ts'
import type { Session, Sessions } from '../../auth/sessions.ts'
import type { HubEnv } from '../services.ts'

export const sessionCookie = 'tributary_session'

export interface Credentials {
  readonly apiKeys: ApiKeys
  readonly sessions: Sessions
}

/** Throws `unauthenticated`, or `forbidden` for another site's request. */
export async function authenticate(c: Context<HubEnv>, { apiKeys, sessions }: Credentials): Promise<Principal> {
  const authorization = c.req.header('authorization')
  if (authorization !== undefined || !getCookie(c, sessionCookie)) return await apiKeys.authenticate(authorization)
  return await authenticateSession(c, sessions)
}

/** By the cookie alone. */
export async function authenticateSession(c: Context<HubEnv>, sessions: Sessions): Promise<Session> {
  const token = getCookie(c, sessionCookie)
  if (!token) {
    throw new TributaryError('unauthenticated', `this request needs the cookie ${sessionCookie}`, {
      hint: 'POST /v1/session with an API key sets it',
    })
  }
  if (!isSafe(c.req.method) && cameFrom(c) !== 'here') throw foreign()
  return await sessions.authenticate(token)
}

/** For what needs no cookie and sets one: refuses what a browser says is another site's. */
export function refuseOtherSites(c: Context<HubEnv>): void {
  if (cameFrom(c) === 'elsewhere') throw foreign()
}

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** `unsaid`: by neither header, as programs send it. */
function cameFrom(c: Context<HubEnv>): 'here' | 'elsewhere' | 'unsaid' {
  const site = c.req.header('sec-fetch-site')
  if (site !== undefined) return site === 'same-origin' ? 'here' : 'elsewhere'
  const origin = c.req.header('origin')
  if (origin === undefined) return 'unsaid'
  return URL.canParse(origin) && new URL(origin).host === hostOf(c) ? 'here' : 'elsewhere'
}

function hostOf(c: Context<HubEnv>): string {
  return c.req.header('host')?.toLowerCase() ?? new URL(c.req.url).host
}

function foreign(): TributaryError {
  return new TributaryError('forbidden', 'a request of another site does not count as yours', {
    hint: 'Send it from the hub’s own page, or with the header authorization: Bearer tak_…',
  })
}
