import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HubConnection } from './hub-connection.ts'
import { findProxy, type HubProxy, parseProxy } from './hub-proxy.ts'
import { testCertificate, testCertificateFile, testCertificateKey } from './test-certificate.ts'

const hub = new URL('https://hub.example.com')
const env = { HTTPS_PROXY: 'http://proxy:3128', http_proxy: 'http://plain:8080' }
const originOf = (proxy: HubProxy | null) => proxy?.url.origin ?? null

describe('which proxy', () => {
  test('the configured one, before the environment', () => {
    expect(originOf(findProxy(hub, 'http://mine:1080', env))).toBe('http://mine:1080')
    expect(originOf(findProxy(new URL('http://127.0.0.1:8080'), 'mine:1080', env))).toBe('http://mine:1080')
    expect(findProxy(hub, 'none', env)).toBeNull()
  })

  test('else that of the environment for the scheme, the lower case first', () => {
    expect(originOf(findProxy(hub, null, env))).toBe('http://proxy:3128')
    expect(originOf(findProxy(hub, null, { ...env, https_proxy: 'http://lower:1' }))).toBe('http://lower:1')
    expect(originOf(findProxy(new URL('http://hub.example.com'), null, env))).toBe('http://plain:8080')
    expect(findProxy(hub, null, { HTTPS_PROXY: '' })).toBeNull()
  })

  test('a hub on this machine is reached directly', () => {
    for (const local of ['https://localhost', 'https://127.0.0.1:8443', 'http://[::1]:80']) {
      expect(findProxy(new URL(local), null, env)).toBeNull()
    }
  })

  test.each([
    ['*', true],
    ['hub.example.com', true],
    ['example.com', true],
    ['.example.com', true],
    ['*.example.com', true],
    ['other.org, EXAMPLE.com', true],
    ['hub.example.com:443', true],
    ['hub.example.com:8443', false],
    ['ample.com', false],
    ['hub.example.com.org', false],
    ['', false],
  ])('NO_PROXY=%s reaches the hub directly: %s', (list, direct) => {
    expect(findProxy(hub, null, { ...env, NO_PROXY: list }) === null).toBe(direct)
  })

  test('user and password are taken out of the address', () => {
    const { url, authorization } = parseProxy('http://me:p%40ss@proxy:3128', 'hub.proxy')
    expect(url.href).toBe('http://proxy:3128/')
    expect(authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
    expect(parseProxy('http://me@proxy:3128', 'hub.proxy').authorization).toBe(
      `Basic ${Buffer.from('me:').toString('base64')}`,
    )
  })

  test.each([
    'socks5://s3cret@proxy',
    'http://s3cret@',
    'ftp://s3cret@proxy',
    'http://s3cret@proxy/path',
    'http://s3cret%zz:x@proxy',
  ])('%s is refused without repeating it', text => {
    expect(() => parseProxy(text, 'hub.proxy')).toThrow(expect.objectContaining({ code: 'config' }))
    expect(() => parseProxy(text, 'hub.proxy')).toThrow(/^(?!.*s3cret).*hub\.proxy/)
  })
})

describe('through a proxy', () => {
  let folder: string
  const servers: Server[] = []
  const sockets = new Set<Duplex>()
  const connections: HubConnection[] = []

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tributary-proxy-'))
  })
  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close()
    for (const socket of sockets) socket.destroy()
    for (const server of servers.splice(0)) await new Promise(resolve => server.close(resolve))
    await rm(folder, { recursive: true, force: true })
  })

  async function listen(server: Server): Promise<number> {
    servers.push(server)
    server.on('connection', socket => sockets.add(socket))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as AddressInfo).port
  }

  const echo = (request: IncomingMessage, response: import('node:http').ServerResponse) => {
    request.resume()
    request.on('end', () => response.end(`hub saw ${request.url} ${request.headers['proxy-authorization'] ?? ''}`))
  }

  /** A proxy that asks for the user `me` with the password `s3cret`, and keeps what it was asked for. */
  async function startProxy(): Promise<{ port: number; asked: string[] }> {
    const asked: string[] = []
    const wanted = `Basic ${Buffer.from('me:s3cret').toString('base64')}`
    const server = createServer((incoming, response) => {
      asked.push(`${incoming.method} ${incoming.url}`)
      const { 'proxy-authorization': given, ...headers } = incoming.headers
      if (given !== wanted) return response.writeHead(407).end()
      const forwarded = request(incoming.url ?? '', { method: incoming.method, headers }, answer =>
        answer.pipe(response),
      )
      return incoming.pipe(forwarded)
    })
    server.on('connect', (incoming: IncomingMessage, client: Duplex) => {
      asked.push(`CONNECT ${incoming.url}`)
      sockets.add(client)
      if (incoming.headers['proxy-authorization'] !== wanted) {
        client.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n')
        return
      }
      const [host = '', port = ''] = (incoming.url ?? '').split(':')
      const upstream: Socket = connect(Number(port), host, () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
      sockets.add(upstream)
      upstream.on('error', () => client.destroy())
      client.on('error', () => upstream.destroy())
      upstream.pipe(client).pipe(upstream)
    })
    return { port: await listen(server), asked }
  }

  function open(hubUrl: string, proxy: string, caFile: string | null): HubConnection {
    const connection = new HubConnection({
      url: new URL(hubUrl),
      caFile,
      proxy: parseProxy(proxy, 'hub.proxy'),
      connections: 2,
      connectTimeoutMs: 2000,
      answerTimeoutMs: 2000,
    })
    connections.push(connection)
    return connection
  }

  async function ask(connection: HubConnection): Promise<string> {
    const body = new TextEncoder().encode('hello')
    const signal = new AbortController().signal
    const answer = await connection.send({
      method: 'POST',
      path: '/v1/x',
      headers: {},
      body,
      maxAnswerBytes: 1000,
      signal,
    })
    return Buffer.from(answer.body).toString()
  }

  test('TLS to the hub with a CA of its own, in one kept-alive tunnel; the hub sees no password', async () => {
    const port = await listen(
      createTlsServer({ key: testCertificateKey, cert: testCertificate }, echo) as unknown as Server,
    )
    const proxy = await startProxy()
    const caFile = await testCertificateFile(folder)
    const connection = open(`https://127.0.0.1:${port}`, `http://me:s3cret@127.0.0.1:${proxy.port}`, caFile)
    for (let i = 0; i < 3; i++) expect(await ask(connection)).toBe('hub saw /v1/x ')
    expect(proxy.asked).toEqual([`CONNECT 127.0.0.1:${port}`])
  })

  test("a hub whose certificate nobody signed is not believed, whatever the proxy's word", async () => {
    const port = await listen(
      createTlsServer({ key: testCertificateKey, cert: testCertificate }, echo) as unknown as Server,
    )
    const proxy = await startProxy()
    const connection = open(`https://127.0.0.1:${port}`, `http://me:s3cret@127.0.0.1:${proxy.port}`, null)
    await expect(ask(connection)).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('hub.ca_file'),
    })
  })

  test('plain http goes through it too', async () => {
    const port = await listen(createServer(echo))
    const proxy = await startProxy()
    const connection = open(`http://127.0.0.1:${port}`, `http://me:s3cret@127.0.0.1:${proxy.port}`, null)
    for (let i = 0; i < 2; i++) expect(await ask(connection)).toBe('hub saw /v1/x ')
    expect(proxy.asked).toEqual(Array(2).fill(`POST http://127.0.0.1:${port}/v1/x`))
  })

  test.each(['http', 'https'])('a proxy that refuses, or is away, is named without its password (%s)', async scheme => {
    const proxy = await startProxy()
    const refused = open(`${scheme}://127.0.0.1:9`, `http://me:wr0ng@127.0.0.1:${proxy.port}`, null)
    const away = open(`${scheme}://127.0.0.1:9`, 'http://me:wr0ng@127.0.0.1:9', null)
    for (const connection of [refused, away]) {
      const failure = await ask(connection).catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'unavailable', hint: expect.stringContaining('hub.proxy') })
      expect(String(failure)).toContain('through the proxy http://127.0.0.1:')
      expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure as object))).not.toContain('wr0ng')
    }
  })
})
