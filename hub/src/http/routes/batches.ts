/**
 * What agents send: POST /v1/batches and GET /v1/hello. Both are signed; ingest checks that. The body is not touched here: it is
 * read within its bound, from Node's own stream where there is one.
 */
import { z } from '@hono/zod-openapi'
import { maxHelloEpochs, maxToldConflicts, mediaTypes, paths, rejectReasons } from '@tributary/shared/protocol'
import type { Context } from 'hono'
import type { IncomingRequest } from '../../ingest/ingest.ts'
import { jsonBatch } from '../../ingest/json-batch.ts'
import { agentId, json, problem, problems } from '../schemas.ts'
import type { HubApp, HubEnv, HubServices } from '../services.ts'
import { requestHeaders, signedHeaders } from '../signed-answer.ts'

const reason = z.enum(rejectReasons)

const batchAnswer = z
  .object({
    accepted: z.int().openapi({ description: 'Readings and aggregates' }),
    rejected: z
      .array(z.object({ index: z.int(), reason }))
      .openapi({ description: 'The index counts the readings of the batch, then its aggregates' }),
    settled: z.int().openapi({ description: 'Every seq of this epoch below it is stored or in the ledger' }),
    reached: z.int().openapi({ description: 'The highest seq of this epoch that is stored; 0 for none' }),
    desiredConfigVersion: z.int(),
    credits: z.int().openapi({ description: 'Backlog batches that may be in flight until the next answer' }),
    recalls: z
      .array(z.object({ id: z.int(), device: z.string(), metric: z.string(), fromUs: z.int(), toUs: z.int() }))
      .openapi({ description: 'Readings that somebody asks for: fromUs ≤ time < toUs' }),
    conflicts: z
      .array(z.object({ epoch: z.int(), seq: z.int(), digest: z.string() }))
      .max(maxToldConflicts)
      .openapi({
        description:
          'Batches answered 200 that turned out to have the identity of another one; `digest` is the SHA-256 of the binary form, in hex. Whoever sent one seals it again under another epoch',
      }),
  })
  .openapi('BatchAnswer')

const helloAnswer = z.object({
  hubTimeMs: z.int(),
  agentId,
  site: z.string(),
  settled: z
    .array(z.object({ epoch: z.int(), settled: z.int() }))
    .openapi({ description: 'Of each epoch of `epochs`: every seq below it is stored or in the ledger' }),
})

const refusal = (description: string) => ({ description, content: { [mediaTypes.problem]: { schema: problem } } })

export function batchRoutes(app: HubApp, hub: HubServices): void {
  app.post(paths.batches, async c => c.json(await hub.ingest.take(incoming(c))))
  app.get(paths.hello, async c => answerHello(hub, c))
  describe(app)
}

/** Signed, so that an agent may take its time from it. */
async function answerHello(hub: HubServices, c: Context<HubEnv>): Promise<Response> {
  const said = await hub.ingest.hello(incoming(c))
  const body = Buffer.from(JSON.stringify(said))
  return c.body(body, 200, { 'content-type': mediaTypes.json, ...signedHeaders(hub, c, 200, body, said.hubTimeMs) })
}

function incoming(c: Context<HubEnv>): IncomingRequest {
  const node = c.env?.incoming
  return {
    method: c.req.method,
    path: node?.url ?? pathOf(c.req.url),
    headers: requestHeaders(c),
    // HTTP/2 is not served, so the stream is Node's IncomingMessage.
    body: node !== undefined && 'iterator' in node ? node : c.req.raw.body,
  }
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url)
  return pathname + search
}

/** These routes have no validators, so the document learns of them here. */
function describe(app: HubApp): void {
  const signed = [{ signature: [] }]
  app.openAPIRegistry.registerPath({
    method: 'post',
    path: paths.batches,
    tags: ['agents of the fleet'],
    summary: 'A signed batch of readings and aggregates; 200 once it is durable',
    security: signed,
    request: {
      body: {
        required: true,
        content: {
          [mediaTypes.batch]: { schema: z.string().openapi({ format: 'binary' }) },
          [mediaTypes.json]: { schema: jsonBatch },
        },
      },
    },
    responses: {
      200: json(batchAnswer, 'Durable, except for what is rejected'),
      400: refusal('The batch or a header field does not parse'),
      401: refusal('Not signed, or the clock is off (then the answer is signed and has hubTimeMs)'),
      403: refusal('The agent was revoked'),
      409: refusal('The same identity was sent with other contents'),
      413: refusal('The body is too long'),
      415: refusal('Neither the binary form nor JSON'),
      422: refusal('A batch layout that this hub does not speak'),
      503: problems[503],
    },
  })
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: paths.hello,
    tags: ['agents of the fleet'],
    summary: 'The hub’s time, the agent’s own standing and how much of its epochs is stored; signed, with a nonce',
    security: signed,
    request: {
      query: z.object({
        epochs: z
          .string()
          .optional()
          .openapi({ description: `At most ${maxHelloEpochs} epochs`, example: '17,23' }),
      }),
    },
    responses: {
      200: json(helloAnswer, 'Known and not revoked; the hub signs this answer'),
      401: refusal('Not signed, a nonce used before, or the clock is off'),
      403: refusal('The agent was revoked'),
    },
  })
}
