/**
 * The hub's HTTP interface: middleware, routes, and the one place where an error becomes an answer.
 *
 * A request passes: its name and its time → security headers → permission → bounds → handler. Handlers throw; `onError` maps.
 */
import { OpenAPIHono } from '@hono/zod-openapi'
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import { mediaTypes, paths } from '@tributary/shared/protocol'
import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import { secureHeaders } from 'hono/secure-headers'
import { asUnavailable } from '../database/database-error.ts'
import { sessionCookie } from './middleware/authenticate.ts'
import { authorize } from './middleware/authorize.ts'
import { type FinishedRequest, requestLog } from './middleware/request-log.ts'
import { problemOf, statusOf, toTributaryError } from './problem.ts'
import { agentRoutes } from './routes/agents.ts'
import { aggregateRoutes } from './routes/aggregates.ts'
import { anomalyRoutes } from './routes/anomalies.ts'
import { balanceRoutes } from './routes/balances.ts'
import { batchRoutes } from './routes/batches.ts'
import { consoleHeaders, consoleRoutes } from './routes/console.ts'
import { deadLetterRoutes } from './routes/dead-letters.ts'
import { enrollRoute } from './routes/enroll.ts'
import { gapRoutes } from './routes/gaps.ts'
import { healthRoutes } from './routes/health.ts'
import { overviewRoute } from './routes/overview.ts'
import { pointsRoute } from './routes/points.ts'
import { readingRoutes } from './routes/readings.ts'
import { recallRoutes } from './routes/recalls.ts'
import { seriesRoutes } from './routes/series.ts'
import { sessionRoutes } from './routes/session.ts'
import { streamRoute } from './routes/stream.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { refuseInvalid } from './schemas.ts'
import type { HubApp, HubEnv, HubServices } from './services.ts'
import { signedHeaders } from './signed-answer.ts'

/** Longest JSON body of a request of people or of an enrolment, bytes. Batches have their own bound. */
const maxJsonBytes = 16 * 1024

/** Seconds for `Retry-After` where the error names none. */
const defaultRetryAfterS = 2

export function createApp(hub: HubServices, finished: (request: FinishedRequest) => void): HubApp {
  const app: HubApp = new OpenAPIHono<HubEnv>({ defaultHook: refuseInvalid })
  app.use(requestLog(hub.logger, finished))
  consoleHeaders(app)
  app.use(secureHeaders({ contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } }))
  app.use('/v1/*', notStored)
  app.use(authorize(hub))
  for (const path of [paths.enroll, '/v1/session', '/v1/tokens/*', '/v1/agents/*']) app.use(path, limitJson)
  batchRoutes(app, hub)
  enrollRoute(app, hub)
  sessionRoutes(app, hub)
  overviewRoute(app, hub)
  streamRoute(app, hub)
  agentRoutes(app, hub)
  recallRoutes(app, hub)
  tokenRoutes(app, hub)
  seriesRoutes(app, hub)
  readingRoutes(app, hub)
  pointsRoute(app, hub)
  aggregateRoutes(app, hub)
  anomalyRoutes(app, hub)
  deadLetterRoutes(app, hub)
  gapRoutes(app, hub)
  balanceRoutes(app, hub)
  healthRoutes(app, hub)
  consoleRoutes(app)
  const document = openApiOf(app)
  app.get('/openapi.json', c => c.json(document))
  app.notFound(c => {
    throw new TributaryError('not-found', `nothing answers ${c.req.method} ${c.req.path}`, {
      hint: 'GET /openapi.json lists what does',
    })
  })
  app.onError((error, c) => answerError(hub, error, c))
  return app
}

/** What is answered to one who signed in is kept by no cache. */
const notStored: MiddlewareHandler = async (c, next) => {
  await next()
  c.header('cache-control', 'no-store')
}

const limitJson = bodyLimit({
  maxSize: maxJsonBytes,
  onError: () => {
    throw new TributaryError('too-large', `the request body is longer than ${maxJsonBytes} bytes`)
  },
})

function answerError(hub: HubServices, thrown: unknown, c: Context<HubEnv>): Response {
  const requestId = c.get('requestId')
  const known = thrown instanceof HTTPException && thrown.status < 500 ? badRequest(thrown) : asUnavailable(thrown)
  const error = toTributaryError(known, requestId)
  const status = statusOf(error.code)
  if (status >= 500) hub.logger.error({ requestId, err: thrown, code: error.code }, 'request failed')
  const nowMs = hub.now()
  const body = Buffer.from(JSON.stringify(problemOf(error, nowMs)))
  const headers: Record<string, string> = { 'content-type': mediaTypes.problem }
  if (status === 429 || status === 503) headers['retry-after'] = String(error.retryAfterS ?? defaultRetryAfterS)
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  if (isTributaryError(error, 'clock-skew')) Object.assign(headers, signedHeaders(hub, c, status, body, nowMs))
  return c.body(body, status, headers)
}

/** What Hono's own validators throw: a body that is not JSON. */
function badRequest(error: HTTPException): TributaryError {
  return new TributaryError('malformed', error.message || 'the request cannot be read', { cause: error })
}

function openApiOf(app: HubApp) {
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key, `tak_…`',
  })
  app.openAPIRegistry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: sessionCookie,
    description:
      'A session that POST /v1/session opened. A request other than GET must come from the hub’s own page (`sec-fetch-site`, `origin`)',
  })
  app.openAPIRegistry.registerComponent('securitySchemes', 'signature', {
    type: 'apiKey',
    in: 'header',
    name: 'signature',
    description: 'HTTP Message Signature (RFC 9421) with the agent’s Ed25519 key',
  })
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Tributary hub',
      version: '1',
      description: 'Takes signed batches from agents; serves readings, anomalies and the fleet to people.',
    },
  })
}

/** The OpenAPI document without a hub: no handler is called. */
export function openApiDocument(): ReturnType<typeof openApiOf> {
  const logger = { debug: () => undefined }
  return openApiOf(createApp({ logger } as unknown as HubServices, () => undefined))
}
