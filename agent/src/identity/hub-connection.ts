/**
 * HTTP to the hub, directly or through a proxy: kept-alive connections (through a proxy kept-alive tunnels), every wait and every size
 * bounded.
 *
 * Anything that keeps an answer from arriving whole is `unavailable` (retryable); an answer of any status is returned, not thrown.
 * undici's pool, because global fetch costs four times the CPU. Redirects are never followed: a signature names one hub.
 */
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { FieldMap } from '@tributary/shared/signature-base'
import { type Dispatcher, Pool, ProxyAgent } from 'undici'
import type { HubProxy } from './hub-proxy.ts'

export interface HubConnectionOptions {
  /** From `parseHubUrl`. */
  readonly url: URL
  /** PEM file with the certificates that sign the hub's; replaces the built-in roots. Null for those. */
  readonly caFile: string | null
  /** From `findProxy`; null to connect directly. */
  readonly proxy: HubProxy | null
  /** Most connections at once. */
  readonly connections: number
  readonly connectTimeoutMs: number
  /** For the answer's headers, and between parts of its body; a request's body adds 1 ms a byte. */
  readonly answerTimeoutMs: number
  /** Called when the hub closed a connection that was up. */
  readonly onDrop?: () => void
}

export interface HubRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: Uint8Array
  /** Largest answer taken, bytes. */
  readonly maxAnswerBytes: number
  readonly signal: AbortSignal
}

export interface HubAnswer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: FieldMap
  readonly body: Uint8Array
}

export class HubConnection {
  readonly origin: string
  readonly #options: HubConnectionOptions
  readonly #dispatcher: Dispatcher

  /** Throws `config` when the CA file cannot be read. */
  constructor(options: HubConnectionOptions) {
    this.#options = options
    this.origin = options.url.origin
    this.#dispatcher = createDispatcher(options)
  }

  /** Over TLS: answers are the hub's own. */
  get isEncrypted(): boolean {
    return this.#options.url.protocol === 'https:'
  }

  /** Throws `unavailable`, or `aborted` when the signal fired. */
  async send(request: HubRequest): Promise<HubAnswer> {
    const { answerTimeoutMs } = this.#options
    const transferMs = answerTimeoutMs + request.body.length
    // A hub that drips an answer byte by byte keeps resetting the inactivity timers; this one it cannot reset.
    const deadline = AbortSignal.timeout(this.#options.connectTimeoutMs + transferMs + answerTimeoutMs)
    try {
      const answer = await this.#dispatcher.request({
        origin: this.origin,
        method: request.method,
        path: request.path,
        headers: request.headers,
        body: request.body.length === 0 ? null : request.body,
        headersTimeout: transferMs,
        signal: AbortSignal.any([request.signal, deadline]),
      })
      const body = await readBounded(answer.body, request.maxAnswerBytes, this.origin)
      // The pool calls a connection free only after this turn; asked before, it would open another one.
      await setImmediate()
      return { status: answer.statusCode, headers: answer.headers, body }
    } catch (cause) {
      if (request.signal.aborted) throw new TributaryError('aborted', 'stopped while talking to the hub', { cause })
      if (cause instanceof TributaryError) throw cause
      const reason = deadline.aborted ? new Error('the answer took too long', { cause }) : cause
      throw unreachable(this.origin, this.#options.proxy, reason)
    }
  }

  /** Ends every connection, requests under way included. */
  async close(): Promise<void> {
    await this.#dispatcher.destroy()
  }
}

function createDispatcher(options: HubConnectionOptions): Dispatcher {
  const { url, proxy, connections, connectTimeoutMs, answerTimeoutMs, onDrop } = options
  const tls = { timeout: connectTimeoutMs, ...(options.caFile !== null && { ca: readCaFile(options.caFile) }) }
  const limits = {
    connections,
    pipelining: 1,
    allowH2: false,
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
  }
  const watched = (pool: Pool) =>
    pool.on('disconnect', (_origin, _targets, error) => {
      if (error.code === 'UND_ERR_SOCKET') onDrop?.()
    })
  if (proxy === null) return watched(new Pool(url, { ...limits, connect: tls }))
  return new ProxyAgent({
    ...limits,
    uri: proxy.url.href,
    ...(proxy.authorization !== null && { token: proxy.authorization }),
    requestTls: tls,
    proxyTls: { timeout: connectTimeoutMs },
    factory: (origin, poolOptions) => watched(new Pool(origin, { ...poolOptions, ...limits })),
  })
}

async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number, origin: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.length
    // Leaving the loop destroys the stream, and with it the connection.
    if (bytes > maxBytes) throw new TributaryError('unavailable', `${origin} answered with more than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function readCaFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new TributaryError('config', `cannot read the CA file ${path}: ${messageOf(cause)}`, { cause })
  }
}

function unreachable(origin: string, proxy: HubProxy | null, cause: unknown): TributaryError {
  const reason = reasonOf(cause)
  const through = proxy === null ? '' : ` through the proxy ${proxy.url.origin}`
  return new TributaryError('unavailable', `no answer from ${origin}${through}: ${reason}`, {
    cause,
    hint: hintFor(reason, proxy),
  })
}

function hintFor(reason: string, proxy: HubProxy | null): string {
  if (isOfTime(reason)) {
    const now = new Date().toISOString()
    return `certificates are judged by this machine's clock, which says ${now}; have it set (NTP) if that is wrong, else renew the hub's certificate`
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(reason))
    return 'name the file with the certificates that sign its own as hub.ca_file'
  const others = proxy === null ? '' : ', the proxy (hub.proxy, HTTPS_PROXY)'
  return `readings are kept meanwhile; check the address, the network${others} and that the hub runs`
}

/** Not valid yet, or not any more. */
function isOfTime(reason: string): boolean {
  return /CERT_NOT_YET_VALID|CERT_HAS_EXPIRED/.test(reason)
}

/** The words of a network error, with its code; the first of several tries stands for all. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
  const message = messageOf(error)
  return code === '' || message.includes(code) ? message : `${message} (${code})`
}
