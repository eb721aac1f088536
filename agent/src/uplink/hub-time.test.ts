import { generateKeyPair } from '@tributary/shared/signature-keys'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AgentClock, type BootTrust, type TrustSource } from '../time/agent-clock.ts'
import { BootClock, machineReadings } from '../time/boot-clock.ts'
import { Uplink } from './uplink.ts'
import { uplinkConfig } from './uplink-config.ts'
import { answer, answerHello, MemoryBuffer, says, TestHub } from './uplink-test-kit.ts'

let hub: TestHub
let buffer: MemoryBuffer
let uplink: Uplink
let told: BootTrust[]
let logged: string[]

beforeEach(async () => {
  hub = new TestHub()
  await hub.start()
  buffer = new MemoryBuffer()
  told = []
  logged = []
})
afterEach(async () => {
  await uplink.stop()
  await hub.stop()
})

/** An uplink on a machine that believes it is 1970. */
function run(trust: readonly TrustSource[] = ['hub']): AgentClock {
  const time = new AgentClock(
    new BootClock('a', { ...machineReadings, wallUs: () => 5e6, uptimeUs: () => null }),
    trust,
  )
  time.onTrust(one => told.push(one))
  const log = (_fields: object, message: string) => void logged.push(message)
  const config = uplinkConfig({ lingerMs: 5, backoff: { baseMs: 10, capMs: 20 } })
  uplink = new Uplink({ buffer, identity: hub.identity, config, time, log: { info: log, warn: log, error: log } })
  uplink.start()
  return time
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2))
}

const offFromTruthMs = (time: AgentClock) => Math.abs((time.nowUs() ?? 0) / 1000 - Date.now())

test('a machine in 1970 has the right time from the first answer, and only then sends', async () => {
  buffer.arrive(10)
  const time = run()
  await until(() => buffer.acknowledged.length === 1)
  expect(hub.hellos).toBe(0)
  expect(offFromTruthMs(time)).toBeLessThan(1000)
  expect(told[0]).toMatchObject({ certain: true, source: 'hub' })
  // The signed refusal of a hello from 1970 was answer enough: the batch was signed right the first time.
  expect(uplink.status()).toMatchObject({ clockCorrections: 0, failedTries: 0 })
})

test('nothing leaves before the hub has given the time; tries are spread as usual', async () => {
  hub.hello = (_hub, _request, response) => answer(response, 503, { code: 'unavailable', detail: 'later' })
  buffer.arrive(10)
  const time = run()
  // Within the hub's bounds for signatures, so that it looks at the question.
  hub.nowS = () => 5
  await until(() => hub.hellos >= 3)
  expect(hub.received).toEqual([])
  expect(time.trusted).toBe(false)
  expect(uplink.status()).toMatchObject({ state: 'waiting', lastError: { code: 'unavailable' } })
  hub.hello = answerHello
  await until(() => buffer.acknowledged.length === 1)
  expect(time.trusted).toBe(true)
})

test('an agent that the hub refuses waits, and says why', async () => {
  hub.nowS = () => 5
  hub.hello = (_hub, _request, response) => answer(response, 403, { code: 'agent-revoked', detail: 'gone' })
  buffer.arrive(1)
  run()
  await until(() => uplink.status().state === 'refused')
  expect(uplink.status().detail).toContain('gone')
  expect(hub.received).toEqual([])
})

test.each([
  ['not signed', null],
  ['signed by another key', generateKeyPair().privateKey],
])('a time that is %s is a guess: readings leave, placed as uncertain, and no trust is gained', async (_what, key) => {
  hub.nowS = () => 5
  hub.hello = (one, request, response) => answerHello(one, request, response, key)
  buffer.arrive(1)
  const time = run()
  await until(() => buffer.acknowledged.length === 1)
  expect(time.trusted).toBe(false)
  expect(told).toMatchObject([{ certain: false }])
  expect(logged.join()).toContain('does not sign its time')
})

test('a time trusted otherwise does not wait for the hub, which is asked all the same', async () => {
  buffer.arrive(1)
  const time = new AgentClock(new BootClock(), ['hub', 'ntp'])
  time.learn('ntp', { bootUs: time.boot.nowUs(), timeUs: Date.now() * 1000, errorUs: 50_000 })
  const log = () => undefined
  const config = uplinkConfig({ lingerMs: 5 })
  uplink = new Uplink({ buffer, identity: hub.identity, config, time, log: { info: log, warn: log, error: log } })
  hub.hello = () => undefined
  uplink.start()
  await until(() => buffer.acknowledged.length === 1 && hub.hellos === 1)
  hub.dropConnections()
})

test('asked to, it asks again at once', async () => {
  const time = run()
  await until(() => time.trusted)
  expect(hub.hellos).toBe(0)
  uplink.askTime()
  await until(() => hub.hellos === 1 && told.length === 2)
})

test('without trust in the hub it is not asked, and batches go as ever', async () => {
  buffer.arrive(1)
  run(['system'])
  await until(() => buffer.acknowledged.length === 1)
  expect(hub.hellos).toBe(0)
  hub.otherwise = says(503, 'unavailable')
})
