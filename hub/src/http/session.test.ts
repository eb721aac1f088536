// Signing in with a key, and what a cookie opens.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { mediaTypes } from '@tributary/shared/protocol'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sessionS, staleMs } from '../auth/sessions.ts'
import { TestHub } from './test-hub.ts'

let hub: TestHub
let nowMs: number
let log: string

beforeEach(async () => {
  nowMs = Date.now()
  log = ''
  const logger = pino({ level: 'trace' }, { write: line => (log += line) })
  hub = await TestHub.start({ now: () => nowMs, logger })
})
afterEach(() => hub[Symbol.asyncDispose]())

function open(body: unknown, headers: Record<string, string> = {}, of = hub): Promise<Response> {
  return of.send('/v1/session', {
    method: 'POST',
    headers: { 'content-type': mediaTypes.json, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

const look = (cookie: string) => hub.send('/v1/session', { headers: { cookie } })

test('a key opens a session: a cookie that no script reads, no other site sends, and that ends', async () => {
  const answer = await open({ key: hub.adminKey })
  expect(answer.status).toBe(204)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const [pair, ...flags] = answer.headers.get('set-cookie')!.split('; ')
  expect(pair).toMatch(/^tributary_session=[A-Za-z0-9_-]{43}$/)
  expect(new Set(flags)).toEqual(new Set(['Path=/', 'HttpOnly', 'SameSite=Strict', `Max-Age=${sessionS}`]))

  const session = (await (await look(pair!)).json()) as { expiresAt: string }
  expect(session).toEqual({ role: 'admin', keyId: expect.stringMatching(/^key_/), expiresAt: expect.any(String) })
  expect(Math.abs(Date.parse(session.expiresAt) - Date.now() - sessionS * 1000)).toBeLessThan(60_000)
})

test('over HTTPS the cookie is for HTTPS only, also when it is taken away', async () => {
  await using secure = await TestHub.start({ servesHttps: true })
  const answer = await open({ key: secure.adminKey }, {}, secure)
  expect(answer.headers.get('set-cookie')).toMatch(/; Secure/)
  const cookie = answer.headers.get('set-cookie')!.split(';')[0]!
  const closed = await secure.send('/v1/session', { method: 'DELETE', headers: { cookie, origin: 'http://localhost' } })
  expect(closed.headers.get('set-cookie')).toMatch(/; Secure/)
})

test('a session reads what its key may read, and a header wins over the cookie', async () => {
  const cookie = await hub.signIn()
  expect((await hub.send('/v1/agents', { headers: { cookie } })).status).toBe(200)
  const wrong = { cookie, authorization: `Bearer tak_${'A'.repeat(43)}` }
  expect((await hub.send('/v1/agents', { headers: wrong })).status).toBe(401)
})

test('an API key in the header is no session', async () => {
  expect((await hub.get('/v1/session')).status).toBe(401)
  expect((await look('tributary_session=')).status).toBe(401)
  expect((await look(`tributary_session=${'A'.repeat(43)}`)).status).toBe(401)
})

test('signing out ends the session and takes the cookie away', async () => {
  const cookie = await hub.signIn()
  const closed = await hub.send('/v1/session', {
    method: 'DELETE',
    headers: { cookie, 'sec-fetch-site': 'same-origin' },
  })
  expect(closed.status).toBe(204)
  expect(closed.headers.get('set-cookie')).toMatch(
    /^tributary_session=; Max-Age=0; Path=\/; HttpOnly; SameSite=Strict$/,
  )
  expect((await look(cookie)).status).toBe(401)
  expect((await hub.send('/v1/agents', { headers: { cookie } })).status).toBe(401)
})

test('a revoked key ends its sessions within the time that they are remembered', async () => {
  const cookie = await hub.signIn()
  expect((await look(cookie)).status).toBe(200)
  await hub.database.pool.query('update api_key set revoked_at = now()')
  nowMs += staleMs
  expect((await look(cookie)).status).toBe(401)
})

test.each<[string, Record<string, string>, number]>([
  ['the hub’s own page', { 'sec-fetch-site': 'same-origin' }, 201],
  ['the hub’s own page, in an older browser', { origin: 'http://localhost' }, 201],
  ['another site', { 'sec-fetch-site': 'cross-site' }, 403],
  ['another origin of the same site', { 'sec-fetch-site': 'same-site' }, 403],
  ['another site that says the right origin', { 'sec-fetch-site': 'cross-site', origin: 'http://localhost' }, 403],
  ['another origin', { origin: 'http://localhost:81' }, 403],
  ['a page without an origin', { origin: 'null' }, 403],
  ['a browser that says nothing', {}, 403],
])('a change with the cookie, from %s: %s → %i', async (_, headers, status) => {
  const cookie = await hub.signIn()
  const answer = await hub.send('/v1/tokens', {
    method: 'POST',
    headers: { cookie, host: 'localhost', 'content-type': mediaTypes.json, ...headers },
    body: JSON.stringify({ site: 'mill' }),
  })
  expect(answer.status).toBe(status)
})

test('another site cannot sign a browser in', async () => {
  expect((await open({ key: hub.adminKey }, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  expect((await open({ key: hub.adminKey }, { origin: 'http://elsewhere' })).status).toBe(403)
  expect((await open({ key: hub.adminKey }, { 'sec-fetch-site': 'same-origin' })).status).toBe(204)
})

test.each([
  ['not JSON', '{', 400],
  ['no key', {}, 400],
  ['a key that is no text', { key: 1 }, 400],
  ['the longest text', { key: 'x'.repeat(256) }, 401],
  ['a longer text', { key: 'x'.repeat(257) }, 400],
  ['an empty key', { key: '' }, 401],
  ['an unknown key', { key: `tak_${'A'.repeat(43)}` }, 401],
  ['a body beyond its bound', ' '.repeat(20_000), 413],
])('%s opens nothing', async (_, body, status) => {
  const answer = await open(body)
  expect(answer.status).toBe(status)
  expect(answer.headers.get('set-cookie')).toBeNull()
})

test('guessing keys is limited by address, and looking is not', async () => {
  const guess = () => open({ key: `tak_${'A'.repeat(43)}` })
  for (let i = 0; i < 20; i++) expect((await guess()).status).toBe(401)
  const limited = await guess()
  expect(limited.status).toBe(429)
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await open({ key: hub.adminKey })).status).toBe(429)
  expect((await look('tributary_session=x')).status).toBe(401)
})

test('no key and no token stand in the log or in an answer, whatever is sent', async () => {
  const secret = hub.adminKey.slice(4)
  const answers = await Promise.all([
    open({ key: hub.adminKey }),
    open({ key: `${hub.adminKey}x` }),
    open({ [hub.adminKey]: 1 }),
    open({ key: [hub.adminKey] }),
    open(`{"key": ${hub.adminKey}`),
    open({ key: hub.adminKey, [hub.adminKey]: 1 }, { 'sec-fetch-site': 'cross-site' }),
  ])
  const cookie = await hub.signIn()
  await look(cookie)
  await nextTurn()
  expect(log).toContain('/v1/session')
  expect(log).not.toContain(secret)
  expect(log).not.toContain(cookie.slice('tributary_session='.length))
  for (const answer of answers) {
    expect(await answer.text()).not.toContain(secret)
    expect(JSON.stringify([...answer.headers])).not.toContain(secret)
  }
})
