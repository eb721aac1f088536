/** GET /v1/overview */
import { createRoute } from '@hono/zod-openapi'
import { readOverview } from '../../query/read-overview.ts'
import { overview, overviewJson } from '../overview-json.ts'
import { credentials, json, problems } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const route = createRoute({
  method: 'get',
  path: '/v1/overview',
  tags: ['fleet'],
  summary: 'The fleet at a glance',
  security: credentials,
  responses: { 200: json(overview, 'Counted now'), ...problems },
})

export function overviewRoute(app: HubApp, hub: HubServices): void {
  app.openapi(route, async c => {
    const nowMs = hub.now()
    return c.json(overviewJson(await readOverview(hub.database.pool, nowMs), hub.version, nowMs), 200)
  })
}
