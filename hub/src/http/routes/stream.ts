/** GET /v1/stream: server-sent events for a page that stays open. */
import { createRoute, z } from '@hono/zod-openapi'
import { TributaryError } from '@tributary/shared/errors'
import { credentials, problems, seriesIds } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const route = createRoute({
  method: 'get',
  path: '/v1/stream',
  tags: ['fleet'],
  summary: 'What changes, as server-sent events',
  description: [
    'Each event is one JSON document.',
    '`overview`: as GET /v1/overview, at the start and when it changed.',
    '`agents`: `{items}` as GET /v1/agents, the first 1000, at the start and when something changed.',
    '`points`: `{seriesId, tsMs, value}`, readings of the chosen series stored since the start, of any event time, ascending.',
    '`refresh`: `{seriesId}`, more than a thousand came or it cannot be told what: ask for its points again.',
    '`anomaly`: as in GET /v1/anomalies, when it opened, rose or closed.',
    '`beat`: `{}`, every 5 s: a stream without one for much longer is dead, whatever the connection says.',
    'A stream ends with its session or key, at a stop of the hub, and when its reader is more than 1 MiB behind.',
  ].join('\n'),
  security: credentials,
  request: { query: z.strictObject({ series: seriesIds.optional() }) },
  responses: {
    200: { description: 'Until it ends', content: { 'text/event-stream': { schema: z.string() } } },
    ...problems,
    503: {
      ...problems[503],
      description: 'This hub serves 200 streams already, or is stopping: try again after `Retry-After`',
    },
  },
})

export function streamRoute(app: HubApp, hub: HubServices): void {
  app.openapi(route, async c => {
    const principal = c.get('principal')
    if (principal === undefined) throw new TributaryError('unauthenticated', 'this request has no key and no session')
    const body = await hub.live.open({
      principal,
      seriesIds: c.req.valid('query').series ?? [],
      cut: () => void c.env?.outgoing?.destroy(),
    })
    // nginx: pass events on as they come.
    return c.body(body, 200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
  })
}
