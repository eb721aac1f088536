import { afterAll, beforeAll, expect, test } from 'vitest'
import { openApiDocument } from './app.ts'
import { permissions } from './permissions.ts'
import { TestHub } from './test-hub.ts'

let hub: TestHub
beforeAll(async () => {
  hub = await TestHub.start()
})
afterAll(() => hub[Symbol.asyncDispose]())

const routes = Object.entries(permissions).map(([route, permission]) => {
  const [method = '', path = ''] = route.split(' ')
  return { route, method, path: path.replace(':id', '1').replace(':recall', '1').replace('*', 'main.js'), permission }
})

/** Routes that check what they are sent themselves, or need a session: no API key in a header opens them. */
const apart = new Set<string>(['public', 'agent', 'key', 'session'])
/** Routes that need an API key. */
const keyed = routes.filter(one => !apart.has(one.permission))

test('every route that is served stands in the table, and the table names no other', () => {
  const served = hub.app.routes.filter(one => one.method !== 'ALL').map(one => `${one.method} ${one.path}`)
  expect(new Set(served)).toEqual(new Set(Object.keys(permissions)))
})

test.each(routes.filter(one => one.permission !== 'public'))(
  '$route refuses without credentials',
  async ({ method, path }) => {
    const headers = { 'content-type': path === '/v1/batches' ? 'application/vnd.tributary.batch' : 'application/json' }
    const body = method === 'POST' ? JSON.stringify(bodies[path] ?? {}) : null
    const response = await hub.send(path, { method, headers, body })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ code: 'unauthenticated' })
  },
)

test.each(routes.filter(one => one.permission === 'public'))(
  '$route needs no credentials',
  async ({ method, path }) => {
    expect((await hub.send(path, { method })).status).toBe(200)
  },
)

test.each(keyed)('$route refuses a key that is not known', async ({ method, path }) => {
  const response = await hub.send(path, { method, headers: { authorization: `Bearer tak_${'A'.repeat(43)}` } })
  expect(response.status).toBe(401)
})

test.each(keyed)('$route lets a session in as far as its key', async ({ method, path }) => {
  const cookie = await hub.signIn()
  const response = await hub.send(path, { method, headers: { cookie, 'sec-fetch-site': 'same-origin' } })
  expect([401, 403]).not.toContain(response.status)
  await response.body?.cancel()
})

test('a path that nothing answers is 404, with and without a key', async () => {
  expect((await hub.send('/v1/nothing')).status).toBe(404)
  expect((await hub.get('/v1/nothing')).status).toBe(404)
})

test('the document describes every route under /v1, each with what it requires', () => {
  const document = openApiDocument()
  const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    Object.keys(item).map(method => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
  )
  expect(new Set(described)).toEqual(new Set(Object.keys(permissions).filter(route => !undescribed.has(route))))
  for (const { method, path, permission } of routes) {
    const item = document.paths?.[path.replace('/1', '/{id}')] as Record<string, { security?: object[] }> | undefined
    const accepts = (scheme: string) => item?.[method.toLowerCase()]?.security?.some(one => scheme in one) ?? false
    if (!item) continue
    expect(accepts('apiKey')).toBe(!apart.has(permission))
    expect(accepts('session')).toBe(!apart.has(permission) || permission === 'session')
  }
})

/** Not for programs: the document itself, and the page. */
const undescribed = new Set(['GET /openapi.json', 'GET /', 'GET /console/*'])

/** Well-formed, and worth nothing. */
const bodies: Record<string, object> = {
  '/v1/enroll': {
    token: `tet_${'a'.repeat(12)}_${'A'.repeat(43)}`,
    publicKey: `${'A'.repeat(42)}E`,
    name: 'x',
    proof: 'A'.repeat(86),
  },
  '/v1/session': { key: `tak_${'A'.repeat(43)}` },
}
