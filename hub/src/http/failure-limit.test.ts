import { TributaryError } from '@tributary/shared/errors'
import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { failureLimit, networkOf } from './middleware/failure-limit.ts'
import { statusOf } from './problem.ts'
import type { HubEnv } from './services.ts'

function appWith(now: () => number) {
  const app = new Hono<HubEnv>()
  app.use(failureLimit(now, { burst: 3, refillMs: 1000, addresses: 2 }))
  app.get('/good', c => c.text('ok'))
  app.get('/bad', () => {
    throw new TributaryError('unauthenticated', 'no')
  })
  app.onError((error, c) => c.body(null, error instanceof TributaryError ? statusOf(error.code) : 500))
  return async (path: string, remoteAddress: string) => {
    const env = { incoming: { socket: { remoteAddress } } } as HubEnv['Bindings']
    return (await app.request(path, {}, env)).status
  }
}

test('an address may fail so many times at once, then once per refill', async () => {
  let nowMs = 0
  const request = appWith(() => nowMs)
  const statuses = []
  for (let i = 0; i < 4; i++) statuses.push(await request('/bad', '10.0.0.1'))
  expect(statuses).toEqual([401, 401, 401, 429])
  expect(await request('/good', '10.0.0.1')).toBe(429)
  nowMs = 1000
  expect(await request('/bad', '10.0.0.1')).toBe(401)
  expect(await request('/bad', '10.0.0.1')).toBe(429)
})

test('successes cost nothing, and one address does not slow another', async () => {
  const request = appWith(() => 0)
  for (let i = 0; i < 100; i++) expect(await request('/good', '10.0.0.1')).toBe(200)
  for (let i = 0; i < 4; i++) await request('/bad', '10.0.0.1')
  expect(await request('/bad', '10.0.0.2')).toBe(401)
})

test('addresses are bounded: the one seen least recently is forgotten', async () => {
  const request = appWith(() => 0)
  for (let i = 0; i < 3; i++) await request('/bad', '10.0.0.1')
  await request('/bad', '10.0.0.2')
  await request('/bad', '10.0.0.3')
  expect(await request('/bad', '10.0.0.1')).toBe(401)
})

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network)
})
