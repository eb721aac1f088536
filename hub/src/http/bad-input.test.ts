// One bad input harms nothing else: each is refused in its own way, and a good batch of another gateway passes right after it.
import { generateKeyPairSync } from 'node:crypto'
import { batchDigest, encodeBatch } from '@tributary/shared/batch/codec'
import { TributaryError } from '@tributary/shared/errors'
import { type BatchAnswer, batchLimits, fields, mediaTypes, type Problem } from '@tributary/shared/protocol'
import { verifyResponse } from '@tributary/shared/signature'
import { publicKeyFromText } from '@tributary/shared/signature-keys'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { revokeAgent } from '../devices/agents.ts'
import { TestGateway, TestHub } from './test-hub.ts'

let hub: TestHub
let good: TestGateway
let gateway: TestGateway
let goodSeq = 0

beforeAll(async () => {
  hub = await TestHub.start()
  good = await hub.gateway()
})
afterAll(() => hub[Symbol.asyncDispose]())
beforeEach(async () => {
  gateway = await hub.gateway()
  hub.appended.length = 0
})
afterEach(async () => {
  hub.logFailure = null
  const answer = await good.sendBatch(good.batch(++goodSeq))
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ accepted: 3, rejected: [] })
})

async function problem(response: Response): Promise<Problem> {
  expect(response.headers.get('content-type')).toBe(mediaTypes.problem)
  const document = (await response.json()) as Problem
  expect(document.status).toBe(response.status)
  return document
}

test('a batch of an unknown agent is refused', async () => {
  const stranger = new TestGateway(
    (path, init) => hub.send(path, init),
    { ...gateway.enrolled, agentId: 'ag-aaaaaaaaaaaaaaaaaaaa' },
    generateKeyPairSync('ed25519').privateKey,
  )
  const response = await stranger.sendBatch(stranger.batch(1))
  expect(await problem(response)).toMatchObject({ status: 401, code: 'agent-unknown' })
})

test('a batch signed with another key is refused', async () => {
  const thief = new TestGateway(
    (path, init) => hub.send(path, init),
    gateway.enrolled,
    generateKeyPairSync('ed25519').privateKey,
  )
  expect(await problem(await thief.sendBatch(thief.batch(1)))).toMatchObject({ status: 401, code: 'unauthenticated' })
})

test('an unsigned batch is refused', async () => {
  const response = await hub.send('/v1/batches', {
    method: 'POST',
    headers: { 'content-type': mediaTypes.batch },
    body: 'x',
  })
  expect(await problem(response)).toMatchObject({ status: 401, code: 'unauthenticated' })
})

test('an expired token is refused', async () => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const response = await hub.enroll(await hub.token({ expiresInS: -1 }), privateKey)
  expect(await problem(response)).toMatchObject({ status: 403, code: 'token-expired' })
})

test('a reused token is refused to another key, and repeated to the same', async () => {
  const token = await hub.token()
  const { privateKey } = generateKeyPairSync('ed25519')
  const first = await hub.enroll(token, privateKey)
  const again = await hub.enroll(token, privateKey)
  const other = await hub.enroll(token, generateKeyPairSync('ed25519').privateKey)
  expect([first.status, again.status]).toEqual([201, 200])
  const answers = (await Promise.all([first.json(), again.json()])) as { agentId: string }[]
  expect(answers[0]!.agentId).toBe(answers[1]!.agentId)
  expect(await problem(other)).toMatchObject({ status: 403, code: 'token-used' })
})

test('a tampered body is refused', async () => {
  const response = await gateway.sendBatch(gateway.batch(1), {
    tamper: body => {
      const changed = Uint8Array.from(body)
      changed[changed.length - 1]! ^= 1
      return changed
    },
  })
  expect(await problem(response)).toMatchObject({ status: 401, code: 'unauthenticated' })
  expect(hub.appended).toHaveLength(0)
})

test('a replayed batch is answered 200 with the same verdict, and logged under the same identity and digest', async () => {
  const batch = gateway.batch(1, [1, Number.NaN])
  const first = (await (await gateway.sendBatch(batch)).json()) as BatchAnswer
  const again = await gateway.sendBatch(batch)
  expect(again.status).toBe(200)
  expect(await again.json()).toMatchObject({ accepted: first.accepted, rejected: first.rejected })
  expect(hub.appended[1]!.digest).toEqual(hub.appended[0]!.digest)
  expect(hub.appended[1]!.rejected).toEqual(hub.appended[0]!.rejected)
})

test('the same identity with other contents waits until the store knows which it has, and is a conflict then', async () => {
  const ours = gateway.batch(1, [1])
  await gateway.sendBatch(ours)
  const theirs = gateway.batch(1, [2])
  const undecided = await gateway.sendBatch(theirs)
  expect(undecided.headers.get('retry-after')).toBe('1')
  expect(await problem(undecided)).toMatchObject({ status: 503, code: 'unavailable' })
  await storeDigest(1, batchDigest(encodeBatch(ours)))
  expect(await problem(await gateway.sendBatch(theirs))).toMatchObject({ status: 409, code: 'conflict' })
  expect((await gateway.sendBatch(ours)).status).toBe(200)
  expect(hub.appended).toHaveLength(2)
})

test('a conflict with a batch stored before the hub started is seen by its stored digest', async () => {
  await storeDigest(3, new Uint8Array(32))
  expect(await problem(await gateway.sendBatch(gateway.batch(3)))).toMatchObject({ status: 409, code: 'conflict' })
  const answer = await hub.get(`/v1/agents/${gateway.agentId}`)
  expect(await answer.json()).toMatchObject({ conflicts: 1 })
})

/** As the store does. */
async function storeDigest(seq: number, digest: Uint8Array): Promise<void> {
  const { pool } = hub.database
  await pool.query(`insert into received select 'store', agent_no, 7, '{[1,5)}' from agent where agent_id = $1`, [
    gateway.agentId,
  ])
  await pool.query('create table if not exists batch_digest_test partition of batch_digest default')
  await pool.query('insert into batch_digest select agent_no, 7, $2, $3 from agent where agent_id = $1', [
    gateway.agentId,
    seq,
    digest,
  ])
}

test.each([
  ['two years slow', -2 * 366 * 86_400],
  ['two years fast', 2 * 366 * 86_400],
])('a signature clock %s is answered with clock-skew, the hub’s time, and the hub’s signature', async (_, offS) => {
  const response = await gateway.sendBatch(gateway.batch(1), { createdS: Date.now() / 1000 + offS })
  const body = new Uint8Array(await response.clone().arrayBuffer())
  const document = await problem(response)
  expect(document).toMatchObject({ status: 401, code: 'clock-skew' })
  expect(Math.abs(document.hubTimeMs! - Date.now())).toBeLessThan(60_000)
  verifyResponse({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body,
    requestHeaders: gateway.lastSigned,
    publicKey: publicKeyFromText(gateway.enrolled.hubKey),
  })
})

test('readings of 1970 and 2099 are rejected into the answer and the log’s verdict, the rest of the batch is kept', async () => {
  const nowUs = Date.now() * 1000
  const response = await gateway.sendBatch(gateway.batch(1, [1, 2, 3], [0, Date.UTC(2099, 0) * 1000, nowUs]))
  expect(response.status).toBe(200)
  const rejected = [
    { index: 0, reason: 'before-2000' },
    { index: 1, reason: 'future' },
  ]
  expect(await response.json()).toMatchObject({ accepted: 1, rejected })
  expect(Array.from(hub.appended[0]!.rejected, ([index, reason]) => ({ index, reason }))).toEqual(rejected)
})

test('an oversized body is refused', async () => {
  const response = await gateway.sendBody(new Uint8Array(batchLimits.bodyBytes + 1))
  expect(await problem(response)).toMatchObject({ status: 413, code: 'too-large' })
})

test.each(['text/plain', 'application/octet-stream', ''])('media type %j is refused', async type => {
  const response = await gateway.sendBody(new Uint8Array(10), { headers: { 'content-type': type } })
  expect(await problem(response)).toMatchObject({ status: 415, code: 'unsupported-media-type' })
})

test('a batch of an unknown layout version is refused as such', async () => {
  const newer = Uint8Array.from(encodeBatch(gateway.batch(1)))
  // The version stands behind the three bytes of the magic.
  newer[3] = 3
  const refused = await problem(await gateway.sendBody(newer))
  expect(refused).toMatchObject({ status: 422, code: 'unsupported-version' })
})

test('a malformed batch is refused', async () => {
  const response = await gateway.sendBody(Uint8Array.from(Buffer.from('not a batch at all')))
  expect(await problem(response)).toMatchObject({ status: 400, code: 'malformed' })
})

test('header fields that name another batch than the body are refused', async () => {
  const response = await gateway.sendBatch(gateway.batch(1), { headers: { [fields.batch]: 'epoch=7;seq=2' } })
  expect(await problem(response)).toMatchObject({ status: 400, code: 'malformed' })
})

test('a batch of another agent inside a good signature is refused', async () => {
  const foreign = good.batch(1)
  expect(await problem(await gateway.sendBatch(foreign))).toMatchObject({ status: 400, code: 'malformed' })
})

test('a revoked agent is refused from the next request on', async () => {
  expect((await gateway.sendBatch(gateway.batch(1))).status).toBe(200)
  await revokeAgent(hub.database, hub.services.agents, gateway.agentId)
  expect(await problem(await gateway.sendBatch(gateway.batch(2)))).toMatchObject({ status: 403, code: 'agent-revoked' })
  expect(await problem(await gateway.hello())).toMatchObject({ status: 403, code: 'agent-revoked' })
})

test('the hub signs its answer to a hello, the time in it included', async () => {
  const response = await gateway.hello()
  const body = new Uint8Array(await response.arrayBuffer())
  const answered = {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    requestHeaders: gateway.lastSigned,
    publicKey: publicKeyFromText(gateway.enrolled.hubKey),
  }
  const { createdS } = verifyResponse({ ...answered, body })
  const { hubTimeMs } = JSON.parse(Buffer.from(body).toString()) as { hubTimeMs: number }
  expect(createdS).toBe(Math.floor(hubTimeMs / 1000))
  const forged = Buffer.from(
    Buffer.from(body)
      .toString()
      .replace(/"hubTimeMs":\d/, '"hubTimeMs":9'),
  )
  expect(() => verifyResponse({ ...answered, body: forged })).toThrow(/digest/)
})

test.each(['', '1,x', Array(65).fill(1).join()])('a hello about the epochs %j is refused', async epochs => {
  expect(await problem(await gateway.hello(undefined, undefined, `?epochs=${epochs}`))).toMatchObject({ status: 400 })
})

test('a nonce is answered once', async () => {
  const nonce = 'AAAAAAAAAAAAAAAAAAAAAA'
  const first = await gateway.hello(nonce)
  expect(await first.json()).toMatchObject({ agentId: gateway.agentId, site: 'mill' })
  expect(await problem(await gateway.hello(nonce))).toMatchObject({ status: 401, code: 'unauthenticated' })
})

test('a log that refuses is answered 503 with Retry-After, and nothing is promised', async () => {
  hub.logFailure = new TributaryError('storage-full', 'the log is full')
  const response = await gateway.sendBatch(gateway.batch(1))
  expect(await problem(response)).toMatchObject({ status: 503, code: 'unavailable' })
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
})

test('what is no fault of the caller tells nothing but the request’s id', async () => {
  hub.logFailure = new Error('secret of the machine')
  const response = await gateway.sendBatch(gateway.batch(1))
  expect(JSON.stringify(await problem(response))).not.toContain('secret')
})

test('an enrolment that is not JSON, has unknown keys, or a bad proof is refused with the reason', async () => {
  const post = (body: string) =>
    hub.send('/v1/enroll', { method: 'POST', headers: { 'content-type': mediaTypes.json }, body })
  expect(await problem(await post('{'))).toMatchObject({ status: 400, code: 'malformed' })
  expect((await problem(await post('{"tokn":1}'))).detail).toMatch(/token/)
  const { privateKey } = generateKeyPairSync('ed25519')
  expect((await problem(await hub.enroll('tet_x', privateKey))).detail).toMatch(/^token: /)
  expect(await problem(await post(' '.repeat(20_000)))).toMatchObject({ status: 413, code: 'too-large' })
})
