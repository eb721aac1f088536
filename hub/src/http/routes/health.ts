/** For machines that watch: `/healthz` (the process answers), `/readyz` (it can do its work), `/metrics` (Prometheus). No key. */
import { createRoute, z } from '@hono/zod-openapi'
import { json } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const readiness = z.object({ ready: z.boolean(), checks: z.record(z.string(), z.string()) })

const healthz = createRoute({
  method: 'get',
  path: '/healthz',
  tags: ['operation'],
  summary: 'The process answers',
  responses: { 200: json(z.object({ status: z.literal('ok') }), 'Alive') },
})

const readyz = createRoute({
  method: 'get',
  path: '/readyz',
  tags: ['operation'],
  summary: 'Database, event log and consumers',
  responses: { 200: json(readiness, 'Ready'), 503: json(readiness, 'Not ready; `checks` says why') },
})

const metrics = createRoute({
  method: 'get',
  path: '/metrics',
  tags: ['operation'],
  summary: 'Counters and gauges in Prometheus text form; no names of agents or devices',
  responses: { 200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } } },
})

export function healthRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(healthz, c => c.json({ status: 'ok' as const }, 200))
  app.openapi(readyz, async c => {
    const state = await hub.readiness()
    const body = { ready: state.ready, checks: { ...state.checks } }
    return state.ready ? c.json(body, 200) : c.json(body, 503)
  })
  app.openapi(metrics, async c => {
    return c.text(await hub.metrics.metrics(), 200, { 'content-type': hub.metrics.contentType })
  })
}
