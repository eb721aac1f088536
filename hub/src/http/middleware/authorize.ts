/** Refuses what the table of permissions does not grant, before any handler or validator sees the request. */
import { TributaryError } from '@tributary/shared/errors'
import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import { permissions, roleHolds } from '../permissions.ts'
import type { HubEnv } from '../services.ts'
import { authenticate, authenticateSession, type Credentials } from './authenticate.ts'

export function authorize(credentials: Credentials): MiddlewareHandler<HubEnv> {
  return async (c, next) => {
    const route = matchedRoutes(c).findLast(one => one.method !== 'ALL')
    // Nothing matched: on to the 404.
    if (route === undefined) return next()
    const needed = permissions[`${route.method} ${route.path}`]
    if (needed === undefined) throw new TributaryError('forbidden', 'nobody is permitted to use this route')
    if (needed === 'public' || needed === 'agent' || needed === 'key') return next()
    if (needed === 'session') {
      c.set('principal', await authenticateSession(c, credentials.sessions))
      return next()
    }
    const principal = await authenticate(c, credentials)
    if (!roleHolds(principal.role, needed)) throw new TributaryError('forbidden', `this key does not hold ${needed}`)
    c.set('principal', principal)
    return next()
  }
}
