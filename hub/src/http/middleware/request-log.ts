/** Names every request, measures it, and notes it in the log at `debug`: method, route, status and time, never a header or body. */
import { randomUUID } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { Logger } from 'pino'
import type { HubEnv } from '../services.ts'

export interface FinishedRequest {
  readonly method: string
  /** The route's pattern, or `none`: a bounded set of names. */
  readonly route: string
  readonly status: number
  readonly seconds: number
}

export function requestLog(logger: Logger, finished: (request: FinishedRequest) => void): MiddlewareHandler<HubEnv> {
  return async (c, next) => {
    const startedMs = performance.now()
    const requestId = randomUUID()
    c.set('requestId', requestId)
    await next()
    c.header('x-request-id', requestId)
    const route = matchedRoutes(c).findLast(one => one.method !== 'ALL')?.path ?? 'none'
    const request = {
      method: c.req.method,
      route,
      status: c.res.status,
      seconds: (performance.now() - startedMs) / 1000,
    }
    finished(request)
    logger.debug({ requestId, ...request }, 'request')
  }
}
