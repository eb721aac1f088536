import { verify } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { enrollProof } from '@tributary/shared/protocol'
import { generateKeyPair, publicKeyFromText, publicKeyText } from '@tributary/shared/signature-keys'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type EnrollOptions, enroll } from './enroll.ts'
import { loadIdentity } from './identity.ts'
import { identityFileName, readIdentityFile } from './identity-file.ts'
import { testCertificate, testCertificateFile, testCertificateKey } from './test-certificate.ts'

interface Asked {
  readonly token: string
  readonly publicKey: string
  readonly name: string
  readonly proof: string
}

const hubKey = publicKeyText(generateKeyPair().publicKey)
const token = 'tet_abc_secretsecret'

let parent: string
let dataDir: string
let asked: Asked[]
let answers: ((request: IncomingMessage, response: ServerResponse) => void | Promise<void>)[]
let server: Server

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'enroll-'))
  dataDir = join(parent, 'data')
  asked = []
  answers = []
  server = createServer(handle)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  await rm(parent, { recursive: true })
})

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Uint8Array[] = []
  for await (const part of request) parts.push(part)
  asked.push(JSON.parse(Buffer.concat(parts).toString()))
  const answer = answers.shift()
  if (answer) return answer(request, response)
  response
    .writeHead(201)
    .end(JSON.stringify({ agentId: `ag-${asked.length}`, site: 'hall 3', hubKey, hubTimeMs: Date.now() }))
}

const originOf = (of: Server) => `http://127.0.0.1:${(of.address() as AddressInfo).port}`
const run = (options: Partial<EnrollOptions> = {}) =>
  enroll({ hub: originOf(server), token, name: 'press 7', dataDir, backoff: { baseMs: 2, capMs: 4 }, ...options })
const says = (status: number, code: string) => (_request: IncomingMessage, response: ServerResponse) =>
  void response.writeHead(status).end(JSON.stringify({ code, detail: `it is ${code}` }))

describe('enrolling', () => {
  test('stores who the agent is, and loads it again', async () => {
    const { identity, previousAgentId } = await run()
    expect(previousAgentId).toBeNull()
    expect(identity).toMatchObject({ hub: originOf(server), agentId: 'ag-1', site: 'hall 3', name: 'press 7' })
    const loaded = await loadIdentity(dataDir)
    expect(loaded).toMatchObject({ hub: identity.hub, agentId: 'ag-1', site: 'hall 3', name: 'press 7' })
    expect(loaded?.privateKey.equals(identity.privateKey)).toBe(true)
    expect(publicKeyText(loaded!.hubKey)).toBe(hubKey)
  })

  test('sends the public half of the key, and proves that it holds the other', async () => {
    const { identity } = await run()
    const [request] = asked
    expect(Object.keys(request!).sort()).toEqual(['name', 'proof', 'publicKey', 'token'])
    expect(request).toMatchObject({ token, name: 'press 7', publicKey: publicKeyText(identity.privateKey) })
    const proof = Buffer.from(request!.proof, 'base64url')
    expect(verify(null, enrollProof(token, request!.publicKey), publicKeyFromText(request!.publicKey), proof)).toBe(
      true,
    )
  })

  test('is called after its host when nobody says otherwise', async () => {
    const { name: _name, ...rest } = { name: '', hub: originOf(server), token, dataDir }
    await enroll(rest)
    expect(asked[0]?.name).toBe(hostname())
  })

  test('writes a file for the owner alone, in a folder for the owner alone', async () => {
    await run()
    expect((await stat(join(dataDir, identityFileName))).mode & 0o777).toBe(0o600)
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700)
  })

  test('has stored its key before the hub hears of it', async () => {
    let known: string | null = null
    answers.push(async (_request, response) => {
      const stored = await readIdentityFile(dataDir)
      known = stored && !stored.enrolment ? publicKeyText(stored.key.publicKey) : null
      says(503, 'unavailable')(_request, response)
    })
    await run()
    expect(known).toBe(asked[0]?.publicKey)
  })

  test('after a lost answer asks with the same key, also in another process', async () => {
    const lose = (request: IncomingMessage) => void request.socket.destroy()
    answers.push(lose, lose, lose)
    await expect(run()).rejects.toMatchObject({ code: 'unavailable' })
    expect(await loadIdentity(dataDir)).toBeNull()
    await run()
    expect(asked).toHaveLength(4)
    expect(new Set(asked.map(request => JSON.stringify(request))).size).toBe(1)
  })

  test('after a lost answer and with another token takes a new key: the hub knows the first one by the first token', async () => {
    answers.push(request => void request.socket.destroy())
    await expect(run({ tries: 1 })).rejects.toMatchObject({ code: 'unavailable' })
    answers.push(says(409, 'conflict'))
    const { identity } = await run({ token: 'tet_another_token' })
    expect(asked.map(request => request.token)).toEqual([token, 'tet_another_token', 'tet_another_token'])
    expect(asked[1]?.publicKey).toBe(asked[0]?.publicKey)
    expect(asked[2]?.publicKey).toBe(publicKeyText(identity.privateKey))
    expect(asked[2]?.publicKey).not.toBe(asked[1]?.publicKey)
  })

  test('tries again while the hub is not available, and not otherwise', async () => {
    answers.push(says(503, 'unavailable'), says(429, 'rate-limited'))
    expect((await run()).identity.agentId).toBe('ag-3')
  })

  test.each([
    [401, 'unauthenticated', 'copied whole'],
    [410, 'token-expired', 'token create'],
    [409, 'token-used', 'token create'],
    [403, 'token-revoked', 'token create'],
    [409, 'conflict', undefined],
    [404, 'not-found', 'address'],
    [400, 'malformed', undefined],
  ])('refused with %i %s says so once, with what to do, and without the token', async (status, code, hint) => {
    answers.push(says(status, code))
    const error = await run().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code, message: `${originOf(server)} refused the enrolment: it is ${code}` })
    if (hint) expect(error).toMatchObject({ hint: expect.stringContaining(hint) })
    expect(JSON.stringify(error) + String(error)).not.toContain('secretsecret')
    expect(asked).toHaveLength(1)
    expect(await loadIdentity(dataDir)).toBeNull()
  })

  test.each([
    ['text', 'welcome'],
    ['null', 'null'],
    ['no agent id', JSON.stringify({ site: 's', hubKey, hubTimeMs: 1 })],
    ['an agent id that breaks a header', JSON.stringify({ agentId: 'a\r\nb', site: 's', hubKey, hubTimeMs: 1 })],
    ['a hub key that is none', JSON.stringify({ agentId: 'ag-1', site: 's', hubKey: 'x', hubTimeMs: 1 })],
  ])('a 201 with %s is no enrolment', async (_what, body) => {
    answers.push((_request, response) => void response.writeHead(201).end(body))
    await expect(run()).rejects.toMatchObject({ code: 'malformed', hint: expect.stringContaining('address') })
    expect(await loadIdentity(dataDir)).toBeNull()
  })

  test('an answer without end is cut off', async () => {
    answers.push((_request, response) => void response.writeHead(201).end('x'.repeat(65 * 1024)))
    await expect(run({ tries: 1 })).rejects.toThrow('more than 65536 bytes')
  })

  test.each(['', 'abc', 'tet_', 'tet_a b', 'tet_a\nb', `tet_${'x'.repeat(300)}`])(
    '%j is not sent as a token',
    async wrong => {
      await expect(run({ token: wrong })).rejects.toMatchObject({ code: 'malformed' })
      expect(asked).toEqual([])
    },
  )

  test('a token does not travel in clear to another machine', async () => {
    await expect(run({ hub: 'http://192.0.2.1' })).rejects.toMatchObject({ code: 'config' })
    expect(await readIdentityFile(dataDir)).toBeNull()
  })

  test('can be stopped', async () => {
    const controller = new AbortController()
    answers.push(() => controller.abort())
    await expect(run({ signal: controller.signal })).rejects.toMatchObject({ code: 'aborted' })
  })
})

describe('an agent that is enrolled', () => {
  test('is not enrolled again by accident', async () => {
    await run()
    await expect(run()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('ag-1'),
      hint: expect.stringContaining('--replace'),
    })
    expect(asked).toHaveLength(1)
  })

  test('gets a new key on request and keeps the old one until the new one is stored', async () => {
    const { identity: old } = await run()
    answers.push(says(410, 'token-expired'))
    await expect(run({ replace: true })).rejects.toMatchObject({ code: 'token-expired' })
    const between = await loadIdentity(dataDir)
    expect(between?.agentId).toBe('ag-1')
    expect(between?.privateKey.equals(old.privateKey)).toBe(true)
    const { identity, previousAgentId } = await run({ replace: true })
    expect(previousAgentId).toBe('ag-1')
    expect(identity.privateKey.equals(old.privateKey)).toBe(false)
    expect(asked[2]?.publicKey).toBe(asked[1]?.publicKey)
    expect(asked[1]?.publicKey).not.toBe(asked[0]?.publicKey)
    expect((await readIdentityFile(dataDir))?.nextKey).toBeNull()
  })

  test('leaves its file alone when others may read it', async () => {
    await run()
    const path = join(dataDir, identityFileName)
    await chmod(path, 0o640)
    const before = await readFile(path, 'utf8')
    await expect(run({ replace: true })).rejects.toMatchObject({
      code: 'forbidden',
      hint: expect.stringContaining(`chmod 600 '${path}'`),
    })
    expect(await readFile(path, 'utf8')).toBe(before)
  })
})

describe('over TLS', () => {
  test('the hub is believed by the CA file, and not without it', async () => {
    const secure = createTlsServer({ cert: testCertificate, key: testCertificateKey }, handle)
    await new Promise<void>(resolve => secure.listen(0, '127.0.0.1', resolve))
    try {
      const hub = originOf(secure).replace('http:', 'https:')
      const refused = run({ hub, tries: 1 })
      await expect(refused).rejects.toMatchObject({ code: 'unavailable', hint: expect.stringContaining('hub.ca_file') })
      const caFile = await testCertificateFile(parent)
      expect((await run({ hub, caFile })).identity.hub).toBe(hub)
      await expect(run({ hub, caFile: join(parent, 'absent'), replace: true })).rejects.toMatchObject({
        code: 'config',
      })
    } finally {
      secure.closeAllConnections()
      await new Promise(resolve => secure.close(resolve))
    }
  })
})
