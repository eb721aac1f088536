import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testDatabase } from '../database/test-database.ts'
import { ensureAdminKey, newApiKey } from './admin-key.ts'
import { ApiKeys } from './api-keys.ts'
import { loadHubKey } from './hub-key.ts'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tributary-auth-'))
})
afterEach(() => rmSync(dataDir, { recursive: true }))

test('the first start makes an admin key, shows it once, and keeps it in a private file', async () => {
  await using database = await testDatabase()
  const first = await ensureAdminKey(database, dataDir)
  expect(first.created).toMatch(/^tak_[A-Za-z0-9_-]{43}$/)
  expect(readFileSync(first.file!, 'utf8')).toBe(`${first.created}\n`)
  expect(statSync(first.file!).mode & 0o777).toBe(0o600)
  expect(await ensureAdminKey(database, dataDir)).toEqual({ created: null, file: first.file })
  await expect(new ApiKeys(database.pool).authenticate(`Bearer ${first.created}`)).resolves.toMatchObject({
    role: 'admin',
  })
})

test('hubs that start together on one database make one key', async () => {
  await using database = await testDatabase()
  const made = await Promise.all([1, 2, 3].map(() => ensureAdminKey(database, dataDir)))
  expect(made.filter(one => one.created !== null)).toHaveLength(1)
})

test('a lost admin key is replaced by a new one, and revoked', async () => {
  await using database = await testDatabase()
  const lost = await ensureAdminKey(database, dataDir)
  const renewed = await ensureAdminKey(database, dataDir, true)
  expect(readFileSync(renewed.file!, 'utf8').trim()).toBe(renewed.created)
  await expect(new ApiKeys(database.pool).authenticate(`Bearer ${lost.created}`)).rejects.toThrow(/revoked/)
  await expect(new ApiKeys(database.pool).authenticate(`Bearer ${renewed.created}`)).resolves.toBeDefined()
})

test('the database holds no key in clear', async () => {
  await using database = await testDatabase()
  const { created } = await ensureAdminKey(database, dataDir)
  const { rows } = await database.pool.query('select * from api_key')
  expect(JSON.stringify(rows)).not.toContain(created!.slice(4))
})

test('a missing, malformed, unknown or revoked key is refused', async () => {
  await using database = await testDatabase()
  let nowMs = 0
  const keys = new ApiKeys(database.pool, () => nowMs)
  const { created } = await ensureAdminKey(database, dataDir)
  for (const header of [undefined, '', 'Bearer', `Basic ${created}`, `Bearer ${created}x`, `Bearer ${newApiKey()}`]) {
    await expect(keys.authenticate(header)).rejects.toMatchObject({ code: 'unauthenticated' })
  }
  await keys.authenticate(`Bearer ${created}`)
  await database.pool.query('update api_key set revoked_at = now()')
  nowMs = 5000
  await expect(keys.authenticate(`Bearer ${created}`)).rejects.toMatchObject({ code: 'unauthenticated' })
})

test('the hub key is made once and stays', () => {
  const file = join(dataDir, 'hub-key.pem')
  const made = loadHubKey(file)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(loadHubKey(file).publicKey).toBe(made.publicKey)
})

test('a hub key that others can read, or that is none, is refused with what to do', () => {
  const file = join(dataDir, 'hub-key.pem')
  writeFileSync(file, 'nothing', { mode: 0o600 })
  expect(() => loadHubKey(file)).toThrow(/not a private key in PEM form/)
  writeFileSync(join(dataDir, 'open.pem'), 'nothing', { mode: 0o644 })
  expect(() => loadHubKey(join(dataDir, 'open.pem'))).toThrow(/can be read by other accounts/)
})
