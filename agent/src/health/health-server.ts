/**
 * HTTP for those who watch the agent, on loopback unless configured otherwise.
 *
 *   GET  /healthz                200 while the program answers
 *   GET  /readyz                 200 while sensors are heard and commits work, else 503 and the reasons
 *   GET  /status                 AgentStatus as JSON
 *   GET  /metrics                Prometheus text
 *   GET  /dead-letters?limit=N   dead letters, payload in base64, oldest first
 *   POST /dead-letters/drop      {"ids": […]} → {"dropped": n}
 *   POST /dead-letters/replay    {"ids": […]} → ReplayResult
 *
 * Dead letters hold what sensors sent: they are for this machine alone, whatever address is listened on. A web page cannot reach
 * them: the Host must name loopback (DNS rebinding) and a POST must be application/json (which other origins may not send).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import type { HealthConfig } from '../config/agent-config.ts'
import { type AgentStatus, unreadiness } from './agent-status.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Metrics } from './metrics.ts'

const maxBodyBytes = 1024 * 1024
const maxConnections = 64

export interface HealthOptions {
  readonly config: HealthConfig
  readonly status: () => Promise<AgentStatus>
  readonly metrics: Metrics
  readonly deadLetters: DeadLetters
}

interface Answer {
  readonly code: number
  readonly type: string
  readonly body: string
}

type Handler = (request: IncomingMessage, url: URL) => Promise<Answer>

export class HealthServer {
  readonly #options: HealthOptions
  readonly #server: Server
  readonly #routes: ReadonlyMap<string, Handler>

  constructor(options: HealthOptions) {
    this.#options = options
    this.#routes = routes(options)
    this.#server = createServer(
      { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000 },
      (request, response) => {
        this.#answer(request, response).catch(() => response.destroy())
      },
    )
    this.#server.maxConnections = maxConnections
  }

  /** Throws `in-use` or `config`. */
  start(): Promise<void> {
    const { host, port } = this.#options.config
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const failed = (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === 'EADDRINUSE'
      const why = inUse ? 'the port is in use' : cause.message
      reject(
        new TributaryError(inUse ? 'in-use' : 'config', `cannot serve health and metrics on ${host}:${port}: ${why}`, {
          cause,
          hint: 'Stop the other program, or set health.port (0 takes a free one).',
        }),
      )
    }
    this.#server.once('error', failed)
    this.#server.listen(port, host, () => {
      this.#server.off('error', failed)
      // Too many open files, for one: the client sees it, and the next connection is tried again.
      this.#server.on('error', () => undefined)
      resolve()
    })
    return promise
  }

  stop(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? this.#options.config.port
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { code, type, body } = await this.#handle(request).catch(errorAnswer)
    response.writeHead(code, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    response.end(request.method === 'HEAD' ? undefined : body)
  }

  async #handle(request: IncomingMessage): Promise<Answer> {
    const url = new URL(request.url ?? '/', 'http://agent')
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const handler = this.#routes.get(`${method} ${url.pathname}`)
    if (handler === undefined) throw new TributaryError('not-found', `nothing is served at ${method} ${url.pathname}`)
    return handler(request, url)
  }
}

function routes({ status, metrics, deadLetters }: HealthOptions): ReadonlyMap<string, Handler> {
  const local =
    (handler: Handler): Handler =>
    async (request, url) => {
      requireLocal(request)
      return handler(request, url)
    }
  return new Map<string, Handler>([
    ['GET /healthz', async () => json(200, { status: 'ok' })],
    [
      'GET /readyz',
      async () => {
        const reasons = unreadiness(await status())
        return json(reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons })
      },
    ],
    ['GET /status', async () => json(200, await status())],
    ['GET /metrics', async () => ({ code: 200, type: metrics.contentType, body: await metrics.render() })],
    [
      'GET /dead-letters',
      local(async (_request, url) => {
        const letters = await deadLetters.list(limitOf(url))
        return json(
          200,
          letters.map(letter => ({ ...letter, payload: Buffer.from(letter.payload).toString('base64') })),
        )
      }),
    ],
    [
      'POST /dead-letters/drop',
      local(async request => json(200, { dropped: await deadLetters.drop(await idsOf(request)) })),
    ],
    ['POST /dead-letters/replay', local(async request => json(200, await deadLetters.replay(await idsOf(request))))],
  ])
}

function json(code: number, value: unknown): Answer {
  return { code, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}

const codes: Readonly<Record<string, number>> = {
  'not-found': 404,
  forbidden: 403,
  malformed: 400,
  'too-large': 413,
  'unsupported-media-type': 415,
  unavailable: 503,
  storage: 503,
  'storage-full': 503,
}

function errorAnswer(error: unknown): Answer {
  const code = isTributaryError(error) ? error.code : 'internal'
  return json(codes[code] ?? 500, { error: { code, message: messageOf(error) } })
}

function requireLocal(request: IncomingMessage): void {
  const address = request.socket.remoteAddress ?? ''
  const name = (request.headers.host ?? '').replace(/:\d+$/, '')
  const local = /^(::ffff:)?127\.|^::1$/.test(address) && ['localhost', '127.0.0.1', '[::1]'].includes(name)
  if (!local) throw new TributaryError('forbidden', 'dead letters are for programs on this machine')
  if (request.method === 'POST' && request.headers['content-type'] !== 'application/json') {
    throw new TributaryError('unsupported-media-type', 'send application/json')
  }
}

function limitOf(url: URL): number {
  const limit = Number(url.searchParams.get('limit') ?? 100)
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new TributaryError('malformed', '`limit` is not a whole number from 1')
  return limit
}

async function idsOf(request: IncomingMessage): Promise<number[]> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length
    if (size > maxBodyBytes) throw new TributaryError('too-large', `body of over ${maxBodyBytes} bytes`)
    parts.push(part)
  }
  try {
    const { ids } = JSON.parse(Buffer.concat(parts).toString()) as { ids: unknown }
    if (Array.isArray(ids) && ids.every(id => Number.isSafeInteger(id))) return ids as number[]
  } catch (cause) {
    throw new TributaryError('malformed', 'the body is not JSON', { cause })
  }
  throw new TributaryError('malformed', 'the body is not {"ids": [numbers]}')
}
