/** Enrolment tokens: make, list, revoke. */
import { createRoute, z } from '@hono/zod-openapi'
import { createToken, listTokens, revokeToken, tokenLimits } from '../../devices/tokens.ts'
import { decodeCursor, page } from '../cursor.ts'
import { agentId, credentials, cursorText, json, notFound, pageLimit, pageOf, problems, timestamp } from '../schemas.ts'
import type { HubApp, HubServices } from '../services.ts'

const site = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, . _ - only, and a letter or digit first')
  .max(tokenLimits.siteLength)
  .openapi({ example: 'paper-mill-2' })

const label = z
  .string()
  .max(tokenLimits.labelLength)
  .regex(/^[^\0]*$/, 'must not hold U+0000')

const labels = z
  .record(label.min(1), label)
  .refine(all => Object.keys(all).length <= tokenLimits.labels, `at most ${tokenLimits.labels} labels`)

const token = z
  .object({
    tokenId: z.string(),
    site: z.string(),
    labels: z.record(z.string(), z.string()),
    agentId: agentId.nullable().openapi({ description: 'Set: a new key for this agent' }),
    uses: z.int(),
    used: z.int(),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
    revokedAt: timestamp,
  })
  .openapi('Token')

const create = createRoute({
  method: 'post',
  path: '/v1/tokens',
  tags: ['tokens'],
  summary: 'Make an enrolment token; its secret is in this answer and nowhere else',
  security: credentials,
  request: {
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z.strictObject({
            site,
            labels: labels.default({}),
            uses: z.int().min(1).max(tokenLimits.uses).default(1),
            expiresInS: z.int().min(60).max(tokenLimits.expiresInS).default(86_400),
          }),
        },
      },
    },
  },
  responses: {
    201: json(
      z.object({
        tokenId: z.string(),
        token: z.string(),
        site: z.string(),
        uses: z.int(),
        expiresAt: z.iso.datetime(),
      }),
      'The token, shown once',
    ),
    ...problems,
  },
})

const list = createRoute({
  method: 'get',
  path: '/v1/tokens',
  tags: ['tokens'],
  summary: 'Enrolment tokens, the newest first, without their secrets',
  security: credentials,
  request: { query: z.strictObject({ limit: pageLimit, cursor: cursorText.optional() }) },
  responses: { 200: json(pageOf(token), 'A page of tokens'), ...problems },
})

const revoke = createRoute({
  method: 'delete',
  path: '/v1/tokens/{id}',
  tags: ['tokens'],
  summary: 'Revoke a token; agents that it enrolled stay',
  security: credentials,
  request: { params: z.object({ id: z.string().regex(/^[a-z2-7]{12}$/, 'not a token id') }) },
  responses: { 204: { description: 'Revoked' }, 404: notFound, ...problems },
})

export function tokenRoutes(app: HubApp, hub: HubServices): void {
  app.openapi(create, async c => {
    const wanted = c.req.valid('json')
    const made = await createToken(hub.database.pool, wanted)
    const { tokenId, token: secret, expiresAt } = made
    return c.json(
      { tokenId, token: secret, site: wanted.site, uses: wanted.uses, expiresAt: expiresAt.toISOString() },
      201,
    )
  })
  app.openapi(list, async c => {
    const { limit, cursor } = c.req.valid('query')
    const after = decodeCursor(cursor, z.tuple([z.iso.datetime(), z.string().max(64)]))
    const rows = await listTokens(hub.database.pool, limit + 1, after)
    const { items, next } = page(rows, limit, last => [last.createdAt.toISOString(), last.tokenId])
    const present = items.map(row => ({
      ...row,
      createdAt: row.createdAt.toISOString(),
      expiresAt: row.expiresAt.toISOString(),
      revokedAt: row.revokedAt?.toISOString() ?? null,
    }))
    return c.json({ items: present, next }, 200)
  })
  app.openapi(revoke, async c => {
    await revokeToken(hub.database.pool, c.req.valid('param').id)
    return c.body(null, 204)
  })
}
