/**
 * Who may use which route: the one table, and nothing outside it. A route that is not listed is refused to everybody.
 *
 * `public` needs nothing; `agent` is checked by ingest (a signature) or enrolment (a token), `key` by the handler, which finds an API
 * key in the body. `session` needs the cookie of an open session. All else needs an API key, or a session of one, whose role holds the
 * permission.
 */
import type { Principal } from '../auth/api-keys.ts'

export type Permission =
  | 'agents:read'
  | 'agents:write'
  | 'recalls:read'
  | 'recalls:write'
  | 'tokens:read'
  | 'tokens:write'
  | 'readings:read'
  | 'anomalies:read'
  | 'letters:read'
  | 'fleet:read'

export const permissions: Readonly<Record<string, 'public' | 'agent' | 'key' | 'session' | Permission>> = {
  'GET /': 'public',
  'GET /console/*': 'public',
  'GET /healthz': 'public',
  'GET /readyz': 'public',
  'GET /metrics': 'public',
  'GET /openapi.json': 'public',
  'POST /v1/enroll': 'agent',
  'POST /v1/batches': 'agent',
  'GET /v1/hello': 'agent',
  'POST /v1/session': 'key',
  'GET /v1/session': 'session',
  'DELETE /v1/session': 'session',
  'GET /v1/overview': 'fleet:read',
  'GET /v1/stream': 'fleet:read',
  'GET /v1/agents': 'agents:read',
  'GET /v1/agents/:id': 'agents:read',
  'POST /v1/agents/:id/revoke': 'agents:write',
  'POST /v1/agents/:id/rotate': 'agents:write',
  'POST /v1/agents/:id/recalls': 'recalls:write',
  'GET /v1/agents/:id/recalls': 'recalls:read',
  'GET /v1/agents/:id/recalls/:recall': 'recalls:read',
  'GET /v1/tokens': 'tokens:read',
  'POST /v1/tokens': 'tokens:write',
  'DELETE /v1/tokens/:id': 'tokens:write',
  'GET /v1/series': 'readings:read',
  'GET /v1/series/:id/readings': 'readings:read',
  'GET /v1/series/:id/points': 'readings:read',
  'GET /v1/series/:id/aggregates': 'readings:read',
  'GET /v1/anomalies': 'anomalies:read',
  'GET /v1/dead-letters': 'letters:read',
  'GET /v1/gaps': 'readings:read',
  'GET /v1/balances': 'readings:read',
  'GET /v1/agents/:id/epochs': 'readings:read',
}

const roles: Readonly<Record<Principal['role'], ReadonlySet<Permission>>> = {
  admin: new Set<Permission>([
    'agents:read',
    'agents:write',
    'recalls:read',
    'recalls:write',
    'tokens:read',
    'tokens:write',
    'readings:read',
    'anomalies:read',
    'letters:read',
    'fleet:read',
  ]),
}

export function roleHolds(role: Principal['role'], permission: Permission): boolean {
  return roles[role].has(permission)
}
