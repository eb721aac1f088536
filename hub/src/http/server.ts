/** The socket under the app: HTTP, or HTTPS when there is a certificate. HTTP/1.1, with bounds on time and on header size. */
import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAdaptorServer } from '@hono/node-server'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { HubApp } from './services.ts'

const serverOptions = {
  requestTimeout: 60_000,
  headersTimeout: 15_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16 * 1024,
}

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null
}

export interface HttpServer {
  /** As it can be reached: the chosen port when 0 was asked for. */
  readonly url: string
  /** Stop accepting, let requests finish for `graceMs`, then cut them off. */
  close(graceMs: number): Promise<void>
}

export async function listen(app: HubApp, options: ListenOptions): Promise<HttpServer> {
  const { tls, host, port } = options
  const secure =
    tls === null ? {} : { createServer: createTlsServer, serverOptions: { ...serverOptions, ...readTls(tls) } }
  const server = createAdaptorServer({ fetch: app.fetch, serverOptions, ...secure } as Parameters<
    typeof createAdaptorServer
  >[0]) as Server
  await new Promise<void>((listening, failed) => {
    server.once('error', error => failed(cannotListen(error, options)))
    server.listen(port, host, listening)
  })
  const { port: chosen } = server.address() as AddressInfo
  const name = host.includes(':') ? `[${host}]` : host
  return {
    url: `${tls === null ? 'http' : 'https'}://${name}:${chosen}`,
    close: graceMs => close(server, graceMs),
  }
}

async function close(server: Server, graceMs: number): Promise<void> {
  let closed = false
  const over = new Promise<void>(resolve => server.close(() => resolve())).then(() => {
    closed = true
  })
  const deadlineMs = performance.now() + graceMs
  // A connection that finishes its request after `close` stays open for the next one: it is idle then.
  while (!closed && performance.now() < deadlineMs) {
    server.closeIdleConnections()
    await Promise.race([over, sleep(50)])
  }
  server.closeAllConnections()
  await over
}

function readTls(tls: { certFile: string; keyFile: string }): { cert: Buffer; key: Buffer } {
  const read = (file: string, option: string) => {
    try {
      return readFileSync(file)
    } catch (cause) {
      throw new TributaryError('config', `${option}: ${file} cannot be read: ${messageOf(cause)}`, { cause })
    }
  }
  return { cert: read(tls.certFile, 'listen.tls.cert_file'), key: read(tls.keyFile, 'listen.tls.key_file') }
}

function cannotListen(error: NodeJS.ErrnoException, { host, port }: ListenOptions): TributaryError {
  if (error.code === 'EADDRINUSE') {
    return new TributaryError('in-use', `port ${port} on ${host} is used by another program`, {
      cause: error,
      hint: 'Choose another one with --port (listen.port, TRIBUTARY_HUB_PORT); 0 takes a free one',
    })
  }
  return new TributaryError('config', `cannot listen on ${host} port ${port}: ${error.message}`, {
    cause: error,
    hint: 'Check --host and --port (listen.host, listen.port)',
  })
}
