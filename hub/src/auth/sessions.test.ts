import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { hashApiKey, newApiKey } from './admin-key.ts'
import { deleteEndedSessions, maxPerKey, Sessions, staleMs } from './sessions.ts'

let database: Database
let nowMs = 0
let sessions: Sessions

beforeEach(async () => {
  database = await testDatabase()
  nowMs = 0
  sessions = new Sessions(database, () => nowMs)
  await addKey('key_a')
})
afterEach(() => database.close())

async function addKey(keyId: string): Promise<void> {
  await database.pool.query(`insert into api_key (key_id, key_hash, role) values ($1, $2, 'admin')`, [
    keyId,
    hashApiKey(newApiKey()),
  ])
}

const refused = { code: 'unauthenticated' }

test('a session is known by its token, at every hub of the database, and the database holds no token', async () => {
  const token = await sessions.open('key_a')
  expect(await new Sessions(database).authenticate(token)).toMatchObject({ keyId: 'key_a', role: 'admin' })
  const { rows } = await database.pool.query<{ token_hash: Buffer }>('select * from session')
  expect(JSON.stringify(rows)).not.toContain(token)
  expect(rows[0]!.token_hash).toHaveLength(32)
})

test.each(['', 'x', randomBytes(32).toString('base64url')])('token %j opens nothing', async token => {
  await expect(sessions.authenticate(token)).rejects.toMatchObject(refused)
})

test('a session that is closed has ended at once', async () => {
  const token = await sessions.open('key_a')
  await sessions.close(await sessions.authenticate(token))
  await expect(sessions.authenticate(token)).rejects.toMatchObject(refused)
  const { rowCount } = await database.pool.query('select from session')
  expect(rowCount).toBe(0)
})

test('a revoked key ends its sessions after the time that they are remembered, and opens no other', async () => {
  const token = await sessions.open('key_a')
  await sessions.authenticate(token)
  await database.pool.query('update api_key set revoked_at = now()')
  nowMs = staleMs - 1
  await sessions.authenticate(token)
  nowMs = staleMs
  await expect(sessions.authenticate(token)).rejects.toMatchObject(refused)
  await expect(sessions.open('key_a')).rejects.toMatchObject(refused)
  await expect(sessions.open('key_b')).rejects.toMatchObject(refused)
})

test('a session past its time has ended', async () => {
  const token = await sessions.open('key_a')
  await database.pool.query('update session set expires_at = now()')
  await expect(sessions.authenticate(token)).rejects.toMatchObject(refused)
})

test('one more session than a key may have ends its oldest, and no other key’s', async () => {
  await addKey('key_b')
  const other = await sessions.open('key_b')
  const tokens: string[] = []
  for (let i = 0; i < maxPerKey; i++) tokens.push(await sessions.open('key_a'))
  for (const token of tokens) await sessions.authenticate(token)
  tokens.push(...(await Promise.all([sessions.open('key_a'), sessions.open('key_a')])))
  nowMs = staleMs
  for (const token of tokens.slice(0, 2)) await expect(sessions.authenticate(token)).rejects.toMatchObject(refused)
  for (const token of [...tokens.slice(2), other]) await sessions.authenticate(token)
})

test('upkeep takes away sessions that are over, and those of revoked keys', async () => {
  await addKey('key_b')
  const tokens = [await sessions.open('key_a'), await sessions.open('key_a'), await sessions.open('key_b')]
  await database.pool.query(
    `update session set expires_at = now() where ctid = (select ctid from session where key_id = 'key_a' limit 1)`,
  )
  await database.pool.query(`update api_key set revoked_at = now() where key_id = 'key_b'`)
  expect(await deleteEndedSessions(database.pool)).toBe(2)
  expect(tokens).toHaveLength(3)
  const { rowCount } = await database.pool.query(`select from session where key_id = 'key_a'`)
  expect(rowCount).toBe(1)
})
