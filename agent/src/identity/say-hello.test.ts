import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isTributaryError } from '@tributary/shared/errors'
import { signResponse, verifyRequest } from '@tributary/shared/signature'
import { generateKeyPair } from '@tributary/shared/signature-keys'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Identity } from './identity.ts'
import { type HelloOptions, sayHello } from './say-hello.ts'

const agent = generateKeyPair()
const hub = generateKeyPair()
let server: Server
let answerKey = hub.privateKey
let answer: ((response: ServerResponse) => void) | null

beforeEach(async () => {
  answer = null
  answerKey = hub.privateKey
  server = createServer(handle)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
})

function handle(request: IncomingMessage, response: ServerResponse): void {
  if (answer) {
    answer(response)
    return
  }
  const { method = '', url: path = '', headers } = request
  const nowS = Date.now() / 1000
  const body = new Uint8Array()
  try {
    const kind = verifyRequest({ method, path, headers, body, publicKey: agent.publicKey, nowS })
    response.end(
      JSON.stringify({
        hubTimeMs: 1234,
        agentId: kind === 'nonce' && path === '/v1/hello' ? 'ag-1' : kind,
        site: 'hall',
      }),
    )
  } catch (error) {
    const code = isTributaryError(error) ? error.code : 'internal'
    const problem = Buffer.from(JSON.stringify({ code, detail: 'no' }))
    const signature = signResponse({
      status: 401,
      body: problem,
      requestHeaders: headers,
      privateKey: answerKey,
      createdS: nowS,
    })
    response.writeHead(401, signature).end(problem)
  }
}

function run(more: Partial<HelloOptions> = {}) {
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const identity: Identity = {
    hub: origin,
    agentId: 'ag-1',
    site: 'hall',
    name: 'n',
    privateKey: agent.privateKey,
    hubKey: hub.publicKey,
  }
  return sayHello({ identity, hub: null, insecure: false, caFile: null, signal: new AbortController().signal, ...more })
}

test('the hub says who it takes this agent for, and its time', async () => {
  expect(await run()).toEqual({ hubTimeMs: 1234, agentId: 'ag-1', site: 'hall', settled: [] })
})

test.each([
  [-1000, 'behind'],
  [1000, 'ahead of'],
])('a clock off by %i s is told from the signed answer', async (offS, word) => {
  const error = await run({ nowMs: () => Date.now() + offS * 1000 }).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    code: 'clock-skew',
    message: expect.stringMatching(new RegExp(`clock is (999|1000|1001) s ${word} the hub's`)),
  })
})

test('a forged word about the clock is called that', async () => {
  answerKey = agent.privateKey
  await expect(run({ nowMs: () => 0 })).rejects.toMatchObject({
    code: 'unauthenticated',
    message: expect.stringContaining('did not sign'),
  })
})

test.each([
  [403, { code: 'agent-revoked', detail: 'gone' }, 'agent-revoked', 'gone'],
  [503, { code: 'unavailable', detail: 'later' }, 'unavailable', 'later'],
  [200, 'hello yourself', 'malformed', 'did not answer as a hub does'],
  [200, { hubTimeMs: 1 }, 'malformed', 'did not answer as a hub does'],
])('an answer %i %j is %s', async (status, body, code, words) => {
  answer = response => void response.writeHead(status).end(JSON.stringify(body))
  await expect(run()).rejects.toMatchObject({ code, message: expect.stringContaining(words) })
})

test('plain http to another machine is refused', async () => {
  await expect(run({ hub: 'http://192.0.2.1' })).rejects.toMatchObject({ code: 'config' })
})
