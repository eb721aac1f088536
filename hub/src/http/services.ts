/** What the routes need of the hub, and what a request carries on its way through them. */
import type { HttpBindings } from '@hono/node-server'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { ApiKeys, Principal } from '../auth/api-keys.ts'
import type { HubKey } from '../auth/hub-key.ts'
import type { Session, Sessions } from '../auth/sessions.ts'
import type { Database } from '../database/database.ts'
import type { AgentDirectory } from '../devices/agent-directory.ts'
import type { Ingest } from '../ingest/ingest.ts'
import type { LiveFeed } from './live/live-feed.ts'

export interface Readiness {
  readonly ready: boolean
  /** Name of a part → `ok`, or what is wrong with it. */
  readonly checks: Readonly<Record<string, string>>
}

export interface HubServices {
  readonly version: string
  readonly database: Database
  readonly ingest: Ingest
  readonly live: LiveFeed
  readonly agents: AgentDirectory
  readonly apiKeys: ApiKeys
  readonly sessions: Sessions
  /** Cookies are then marked `Secure`. */
  readonly servesHttps: boolean
  readonly hubKey: HubKey
  /** A rotated key stays valid this long, s. */
  readonly keyOverlapS: number
  readonly readiness: () => Promise<Readiness>
  readonly metrics: Registry
  readonly logger: Logger
  readonly now: () => number
}

export interface HubEnv {
  /** Absent when a request does not come from a socket. */
  Bindings: Partial<HttpBindings>
  Variables: { requestId: string; principal?: Principal | Session }
}

export type HubApp = OpenAPIHono<HubEnv>
