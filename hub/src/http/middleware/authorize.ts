/** Refuses what the table of permissions does not grant, before any handler or validator sees the request. */
import { TributaryError } from '@tributary/shared/errors'
import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { ApiKeys } from '../../auth/api-keys.ts'
import { permissions, roleHolds } from '../permissions.ts'
import type { HubEnv } from '../services.ts'

export function authorize(apiKeys: ApiKeys): MiddlewareHandler<HubEnv> {
  return async (c, next) => {
    const route = matchedRoutes(c).findLast(one => one.method !== 'ALL')
    // Nothing matched: on to the 404.
    if (route === undefined) return next()
    const needed = permissions[`${route.method} ${route.path}`]
    if (needed === undefined) throw new TributaryError('forbidden', 'nobody is permitted to use this route')
    if (needed === 'public' || needed === 'agent') return next()
    const principal = await apiKeys.authenticate(c.req.header('authorization'))
    if (!roleHolds(principal.role, needed)) throw new TributaryError('forbidden', `this key does not hold ${needed}`)
    c.set('principal', principal)
    return next()
  }
}
