// The console as it is served: headers, validators, and nothing beside its files.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestHub } from './test-hub.ts'

let hub: TestHub
beforeAll(async () => {
  hub = await TestHub.start()
})
afterAll(() => hub[Symbol.asyncDispose]())

test('the page comes without a key, under a policy that allows nothing inline and nothing from elsewhere', async () => {
  const response = await hub.send('/')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(response.headers.get('content-security-policy')).toBe(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; manifest-src 'self'; " +
      "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  )
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  expect(await response.text()).toContain('<script type="module" src="/console/main.js"')
})

test('what is not of the console keeps the policy of the API', async () => {
  const response = await hub.send('/healthz')
  expect(response.headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
})

test('an asset that the browser has is not sent again, and each coding has a validator of its own', async () => {
  const plain = await hub.send('/console/main.js')
  const packed = await hub.send('/console/main.js', { headers: { 'accept-encoding': 'br' } })
  expect(packed.headers.get('content-encoding')).toBe('br')
  expect(packed.headers.get('cache-control')).toBe('no-cache')
  expect(packed.headers.get('vary')).toBe('accept-encoding')
  const etag = packed.headers.get('etag')!
  expect(etag).not.toBe(plain.headers.get('etag'))
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await hub.send('/console/main.js', { headers: { 'accept-encoding': 'br', 'if-none-match': known } })
    expect([again.status, await again.text()]).toEqual([304, ''])
  }
  const other = await hub.send('/console/main.js', { headers: { 'if-none-match': etag } })
  expect(other.status).toBe(200)
})

test('HEAD answers as GET does, without the body', async () => {
  const get = await hub.send('/console/styles/base.css')
  const head = await hub.send('/console/styles/base.css', { method: 'HEAD' })
  expect(head.status).toBe(200)
  expect(head.headers.get('etag')).toBe(get.headers.get('etag'))
  expect(head.headers.get('content-type')).toBe('text/css; charset=utf-8')
  expect(await head.text()).toBe('')
})

test.each([
  '/console/',
  '/console/index.html',
  '/console/types.d.ts',
  '/console/../assets.ts',
  '/console/%2e%2e/assets.ts',
  '/console/..%2fassets.ts',
  '/console/vendor/package.json',
  '/console/constructor',
])('%s is not found', async path => {
  expect((await hub.send(path)).status).toBe(404)
})
