/** The session of a browser: opened with an API key, looked at, closed. Its token travels in a cookie that no script can read. */
import { createRoute, z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'
import type { Context } from 'hono'
import { deleteCookie, setCookie } from 'hono/cookie'
import { type Session, sessionS } from '../../auth/sessions.ts'
import { refuseOtherSites, sessionCookie } from '../middleware/authenticate.ts'
import { failureLimit } from '../middleware/failure-limit.ts'
import { json, problem, problems } from '../schemas.ts'
import type { HubApp, HubEnv, HubServices } from '../services.ts'

const path = '/v1/session'
const security = [{ session: [] }]
/** What the cookie says besides its value; the same when it is set and when it is taken away. */
const cookieOptions = { path: '/', httpOnly: true, sameSite: 'Strict' } as const

const open = createRoute({
  method: 'post',
  path,
  tags: ['session'],
  summary: 'Open a session with an API key; the answer sets the cookie',
  request: {
    body: {
      required: true,
      content: {
        'application/json': { schema: z.object({ key: z.string().max(256).openapi({ example: 'tak_…' }) }) },
      },
    },
  },
  responses: {
    204: { description: 'Open for 12 hours; `set-cookie` has its token' },
    400: problems[400],
    401: { ...problems[401], description: 'The key is unknown or revoked' },
    403: { ...problems[403], description: 'Sent from the page of another site' },
    429: {
      description: 'Too many refused requests from this address',
      content: { 'application/problem+json': { schema: problem } },
    },
    503: problems[503],
  },
})

const look = createRoute({
  method: 'get',
  path,
  tags: ['session'],
  summary: 'The session of the cookie',
  security,
  responses: {
    200: json(
      z.object({ role: z.enum(['admin']), keyId: z.string(), expiresAt: z.iso.datetime() }).openapi('Session'),
      'Open',
    ),
    401: { ...problems[401], description: 'No session, or one that has ended' },
    503: problems[503],
  },
})

const close = createRoute({
  method: 'delete',
  path,
  tags: ['session'],
  summary: 'Close the session of the cookie, and take the cookie away',
  security,
  responses: {
    204: { description: 'Closed' },
    401: { ...problems[401], description: 'No session, or one that has ended' },
    403: { ...problems[403], description: 'Sent from the page of another site' },
    503: problems[503],
  },
})

export function sessionRoutes(app: HubApp, hub: HubServices): void {
  app.on('POST', path, failureLimit())
  app.openapi(open, async c => {
    refuseOtherSites(c)
    const { keyId } = await hub.apiKeys.authenticate(`Bearer ${c.req.valid('json').key}`)
    const token = await hub.sessions.open(keyId)
    setCookie(c, sessionCookie, token, { ...cookieOptions, maxAge: sessionS, secure: hub.servesHttps })
    hub.logger.info({ keyId }, 'session opened')
    return c.body(null, 204)
  })
  app.openapi(look, c => {
    const { role, keyId, expiresAt } = sessionOf(c)
    return c.json({ role, keyId, expiresAt: expiresAt.toISOString() }, 200)
  })
  app.openapi(close, async c => {
    await hub.sessions.close(sessionOf(c))
    deleteCookie(c, sessionCookie, { ...cookieOptions, secure: hub.servesHttps })
    return c.body(null, 204)
  })
}

/** Set by the middleware for routes of `session`. */
function sessionOf(c: Context<HubEnv>): Session {
  const principal = c.get('principal')
  if (principal !== undefined && 'sessionHash' in principal) return principal
  throw new TributaryError('unauthenticated', 'this request has no session')
}
