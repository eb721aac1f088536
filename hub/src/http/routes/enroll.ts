/** POST /v1/enroll: a gateway with a one-time token becomes an agent, or takes a new key. */
import { createRoute, z } from '@hono/zod-openapi'
import { enroll } from '../../devices/enroll.ts'
import { looksLikeToken } from '../../devices/enrollment-token.ts'
import { failureLimit } from '../middleware/failure-limit.ts'
import { agentId, json, problem, problems } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const base64url = (bytes: number) =>
  z.string().regex(new RegExp(`^[A-Za-z0-9_-]{${Math.ceil((bytes * 4) / 3)}}$`), `not ${bytes} bytes in base64url`)

const request = z.strictObject({
  token: z.string().refine(looksLikeToken, 'not an enrolment token (tet_…)'),
  publicKey: base64url(32).openapi({ description: 'Raw Ed25519 public key' }),
  name: z
    .string()
    .min(1)
    .max(128)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
    .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters'),
  proof: base64url(64).openapi({ description: 'Ed25519 signature over "tributary enroll\\n" token "\\n" publicKey' }),
})

const answer = z.object({
  agentId,
  site: z.string(),
  hubKey: z.string().openapi({ description: 'Raw Ed25519 public key of the hub, base64url' }),
  hubTimeMs: z.int(),
})

const refused = {
  description: 'The token is expired, used up or revoked',
  content: { 'application/problem+json': { schema: problem } },
}

const route = createRoute({
  method: 'post',
  path: '/v1/enroll',
  tags: ['agents of the fleet'],
  summary: 'Enrol with a one-time token; the key stays on the gateway',
  request: { body: { required: true, content: { 'application/json': { schema: request } } } },
  responses: {
    200: json(answer, 'A repeat of an earlier enrolment, or a new key for a known agent'),
    201: json(answer, 'A new agent'),
    400: problems[400],
    401: { ...problems[401], description: 'The token is unknown or the proof does not verify' },
    403: refused,
    409: { ...refused, description: 'The key belongs to an agent already' },
    429: { ...refused, description: 'Too many refused requests from this address' },
    503: problems[503],
  },
})

export function enrollRoute(app: HubApp, hub: HubServices): void {
  app.use('/v1/enroll', failureLimit())
  app.openapi(route, async c => {
    const enrolled = await enroll(hub.database, c.req.valid('json'), hub.keyOverlapS)
    hub.agents.forget(enrolled.agentId)
    hub.logger.info({ agentId: enrolled.agentId, site: enrolled.site, isNew: enrolled.isNew }, 'agent enrolled')
    const body = {
      agentId: enrolled.agentId,
      site: enrolled.site,
      hubKey: hub.hubKey.publicKey,
      hubTimeMs: hub.now(),
    }
    return c.json(body, enrolled.isNew ? 201 : 200)
  })
}
