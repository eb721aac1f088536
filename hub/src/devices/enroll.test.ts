import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type EnrollRequest, enrollProof } from '@tributary/shared/protocol'
import { publicKeyText } from '@tributary/shared/signature-keys'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { AgentDirectory } from './agent-directory.ts'
import { revokeAgent, rotateAgent } from './agents.ts'
import { enroll } from './enroll.ts'
import { createToken, listTokens, revokeToken } from './tokens.ts'

const overlapS = 86_400
let database: Database

beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

function newKey(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ed25519')
}

function request(token: string, key = newKey()): EnrollRequest {
  const publicKey = publicKeyText(key.publicKey)
  const proof = sign(null, enrollProof(token, publicKey), key.privateKey).toString('base64url')
  return { token, publicKey, name: 'gateway', proof }
}

function token(options: { uses?: number; expiresInS?: number } = {}) {
  return createToken(database.pool, { site: 'mill', labels: { line: '3' }, uses: 1, expiresInS: 3600, ...options })
}

test('a token and a proof make an agent at the token’s site', async () => {
  const { token: secret } = await token()
  const answer = await enroll(database, request(secret), overlapS)
  expect(answer).toMatchObject({ site: 'mill', isNew: true })
  expect(answer.agentId).toMatch(/^ag-[a-z2-7]{20}$/)
})

test('the same token and key again give the same agent, also after the token is used up and expired', async () => {
  const { token: secret, tokenId } = await token()
  const asked = request(secret)
  const first = await enroll(database, asked, overlapS)
  await database.pool.query(`update enrollment_token set expires_at = now() where token_id = $1`, [tokenId])
  expect(await enroll(database, asked, overlapS)).toEqual({ ...first, isNew: false })
})

test('a used token refuses another key', async () => {
  const { token: secret } = await token()
  await enroll(database, request(secret), overlapS)
  await expect(enroll(database, request(secret), overlapS)).rejects.toMatchObject({ code: 'token-used' })
})

test('a token of three uses enrols three of ten gateways that come at once', async () => {
  const { token: secret } = await token({ uses: 3 })
  const asked = await Promise.allSettled(Array.from({ length: 10 }, () => enroll(database, request(secret), overlapS)))
  expect(asked.filter(one => one.status === 'fulfilled')).toHaveLength(3)
})

test('an expired and a revoked token say so', async () => {
  const expired = await token({ expiresInS: -1 })
  await expect(enroll(database, request(expired.token), overlapS)).rejects.toMatchObject({ code: 'token-expired' })
  const revoked = await token()
  await revokeToken(database.pool, revoked.tokenId)
  await expect(enroll(database, request(revoked.token), overlapS)).rejects.toMatchObject({ code: 'token-revoked' })
})

test('an unknown token and a known id with a wrong secret are answered alike', async () => {
  const { token: secret } = await token()
  const wrongSecret = `${secret.slice(0, -43)}${'A'.repeat(43)}`
  const unknown = `tet_${'a'.repeat(12)}_${'A'.repeat(43)}`
  const [one, other] = await Promise.allSettled([
    enroll(database, request(wrongSecret), overlapS),
    enroll(database, request(unknown), overlapS),
  ])
  expect(one).toEqual(other)
  expect(one).toMatchObject({ status: 'rejected', reason: { code: 'unauthenticated' } })
})

test('a proof by another key is refused before the token is looked at', async () => {
  const { token: secret } = await token()
  const forged = { ...request(secret), publicKey: publicKeyText(newKey().publicKey) }
  await expect(enroll(database, forged, overlapS)).rejects.toMatchObject({ code: 'unauthenticated' })
  await expect(enroll(database, request(secret), overlapS)).resolves.toMatchObject({ isNew: true })
})

test('a key that belongs to an agent cannot enrol a second one', async () => {
  const key = newKey()
  await enroll(database, request((await token()).token, key), overlapS)
  const second = await token()
  await expect(enroll(database, request(second.token, key), overlapS)).rejects.toMatchObject({ code: 'conflict' })
  await expect(enroll(database, request(second.token), overlapS)).resolves.toMatchObject({ isNew: true })
})

test('a rotation keeps the agent, and both keys are valid for the overlap', async () => {
  const directory = new AgentDirectory(database.pool)
  const { agentId } = await enroll(database, request((await token()).token), overlapS)
  const bound = await rotateAgent(database, agentId, 3600)
  const asked = request(bound.token)
  expect(await enroll(database, asked, overlapS)).toEqual({ agentId, site: 'mill', isNew: false })
  expect(await enroll(database, asked, overlapS)).toEqual({ agentId, site: 'mill', isNew: false })
  const standing = await directory.find(agentId)
  expect(standing?.keys.map(publicKeyText)[0]).toBe(asked.publicKey)
  expect(standing?.keys).toHaveLength(2)
})

test('after the overlap only the new key is valid', async () => {
  const { agentId } = await enroll(database, request((await token()).token), overlapS)
  const asked = request((await rotateAgent(database, agentId, 3600)).token)
  await enroll(database, asked, 0)
  const standing = await new AgentDirectory(database.pool).find(agentId)
  expect(standing?.keys.map(publicKeyText)).toEqual([asked.publicKey])
})

test('a revoked agent is refused at once, cannot rotate, and its token does not bring it back', async () => {
  const directory = new AgentDirectory(database.pool)
  const asked = request((await token()).token)
  const { agentId } = await enroll(database, asked, overlapS)
  const bound = await rotateAgent(database, agentId, 3600)
  expect((await directory.find(agentId))?.revoked).toBe(false)
  await revokeAgent(database, directory, agentId)
  expect((await directory.find(agentId))?.revoked).toBe(true)
  await expect(enroll(database, asked, overlapS)).rejects.toMatchObject({ code: 'agent-revoked' })
  await expect(enroll(database, request(bound.token), overlapS)).rejects.toMatchObject({ code: 'agent-revoked' })
  await expect(rotateAgent(database, agentId, 3600)).rejects.toMatchObject({ code: 'agent-revoked' })
})

test('another hub honours a revoked agent for five seconds at most', async () => {
  let nowMs = 0
  const elsewhere = new AgentDirectory(database.pool, () => nowMs)
  const { agentId } = await enroll(database, request((await token()).token), overlapS)
  await elsewhere.find(agentId)
  await revokeAgent(database, new AgentDirectory(database.pool), agentId)
  nowMs = 4999
  expect((await elsewhere.find(agentId))?.revoked).toBe(false)
  nowMs = 5000
  expect((await elsewhere.find(agentId))?.revoked).toBe(true)
})

test('agents asked for at once are read in one query, and an unknown one is null', async () => {
  const directory = new AgentDirectory(database.pool)
  const { agentId } = await enroll(database, request((await token()).token), overlapS)
  const [found, again, missing] = await Promise.all(
    ['x', 'y', 'z'].map((_, i) => directory.find(i < 2 ? agentId : 'ag-none')),
  )
  expect(found?.agentId).toBe(agentId)
  expect(again).toEqual(found)
  expect(missing).toBeNull()
})

test('tokens are listed newest first, a page after a page, without their secrets', async () => {
  await using own = await testDatabase()
  const made = []
  for (let i = 0; i < 5; i++) made.push(await createToken(own.pool, { site: 'a', labels: {}, uses: 1, expiresInS: 60 }))
  const first = await listTokens(own.pool, 3, null)
  const last = first.at(-1)!
  const rest = await listTokens(own.pool, 3, [last.createdAt.toISOString(), last.tokenId])
  expect([...first, ...rest].map(row => row.tokenId).sort()).toEqual(made.map(one => one.tokenId).sort())
  expect(JSON.stringify(first)).not.toContain(made[4]!.token.slice(-43))
})
