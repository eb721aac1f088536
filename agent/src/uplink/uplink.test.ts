import { hash } from 'node:crypto'
import { createServer } from 'node:net'
import { TributaryError } from '@tributary/shared/errors'
import { generateKeyPair } from '@tributary/shared/signature-keys'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HubClock } from '../time/hub-clock.ts'
import { Uplink, type UplinkOptions } from './uplink.ts'
import { type UplinkConfig, uplinkConfig } from './uplink-config.ts'
import { answer, answerSigned, MemoryBuffer, says, stores, TestHub } from './uplink-test-kit.ts'

let hub: TestHub
let buffer: MemoryBuffer
let uplink: Uplink | null
let logged: { level: string; fields: object; message: string }[]

beforeEach(async () => {
  hub = new TestHub()
  await hub.start()
  buffer = new MemoryBuffer()
  uplink = null
  logged = []
})

afterEach(async () => {
  await uplink?.stop()
  await hub.stop()
})

/** Short waits, so that tests of retries are quick; `refused` and `held` are out of the way unless a test asks. */
function run(config: Partial<UplinkConfig> = {}, more: Partial<UplinkOptions> = {}): Uplink {
  const to = (level: string) => (fields: object, message: string) => void logged.push({ level, fields, message })
  uplink = new Uplink({
    buffer,
    identity: hub.identity,
    config: uplinkConfig({ lingerMs: 5, backoff: { baseMs: 10, capMs: 20 }, ...config }),
    log: { info: to('info'), warn: to('warn'), error: to('error') },
    ...more,
  })
  uplink.start()
  return uplink
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2))
}

const seqs = () => hub.received.map(batch => batch.seq)
const clockOff = (byMs: number) =>
  new HubClock({ wallMs: () => Date.now() + byMs, monotonicMs: () => performance.now() })
const twoYearsMs = 2 * 366 * 86_400_000

describe('draining', () => {
  test('readings are sealed in full batches, sent in order and acknowledged', async () => {
    buffer.arrive(2500)
    const { status } = { status: run().status.bind(uplink) }
    await until(() => buffer.acknowledged.length === 3)
    expect(buffer.acknowledged).toEqual([1, 2, 3])
    expect(buffer.sealed.map(batch => batch.readings)).toEqual([1000, 1000, 500])
    expect(hub.mostInFlight).toBe(1)
    await until(() => status().state === 'idle')
    expect(status()).toMatchObject({
      sentBatches: 3,
      sentReadings: 2500,
      failedTries: 0,
      backlogReadings: 0,
      desiredConfigVersion: 3,
    })
    expect(status().lastSuccessMs).toBeGreaterThan(0)
  })

  test('what was sealed before a restart goes first, byte for byte, and then what is new', async () => {
    buffer.arrive(10)
    await buffer.seal(4, 'live')
    await buffer.seal(4, 'live')
    const before = buffer.sealed.map(batch => Buffer.from(batch.body).toString())
    run()
    await until(() => buffer.acknowledged.length === 3)
    expect(seqs()).toEqual([1, 2, 3])
    expect(hub.received.slice(0, 2).map(batch => batch.body)).toEqual(before)
  })

  test('all batches share one kept-alive connection', async () => {
    buffer.arrive(20)
    run({ maxReadings: 2 })
    await until(() => buffer.acknowledged.length === 10)
    expect(hub.connections).toBe(1)
  })

  test('a full batch is sent without waiting out the linger', async () => {
    run({ lingerMs: 60_000, maxReadings: 10 })
    buffer.arrive(3)
    uplink?.wake(3)
    buffer.arrive(7)
    uplink?.wake(7)
    await until(() => buffer.acknowledged.length === 1)
    expect(buffer.sealed.map(batch => batch.readings)).toEqual([10])
  })

  test('readings that nobody announced are noticed all the same', async () => {
    run()
    await until(() => uplink?.status().state === 'idle')
    buffer.arrive(3)
    await until(() => buffer.acknowledged.length === 1)
  })

  test('a young batch is live, an old one backlog, by the hub-corrected clock', async () => {
    buffer.arrive(1)
    run()
    await until(() => buffer.acknowledged.length === 1)
    buffer.newestUs = (Date.now() - 61_000) * 1000
    buffer.arrive(1)
    await until(() => buffer.acknowledged.length === 2)
    expect(hub.received.map(batch => batch.lane)).toEqual(['live', 'backlog'])
    expect(hub.received.map(batch => batch.floor)).toEqual(['1', '2'])
  })

  test('a short drain goes in order, whatever the credits', async () => {
    hub.credits = 4
    buffer.arrive(20)
    run({ maxReadings: 1 })
    await until(() => buffer.acknowledged.length === 20)
    expect(hub.mostInFlight).toBe(1)
    expect(seqs()).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  })

  test('a long drain uses the credits of the hub, as many as this agent allows', async () => {
    hub.credits = 4
    hub.otherwise = (...args) => void setTimeout(() => stores(...args), 20)
    buffer.arrive(40)
    run({ maxReadings: 1, inOrderBelowMs: 0, maxInFlight: 3 })
    await until(() => buffer.acknowledged.length === 40)
    expect(hub.mostInFlight).toBe(3)
    expect(uplink?.status().credits).toBe(4)
    expect([...hub.stored.keys()].length).toBe(40)
    expect(uplink?.status().sentAgain).toBe(0)
  })

  test('in a long drain what is new goes beside the backlog, before the rest of it', async () => {
    const answers: (() => void)[] = []
    hub.otherwise = (...args) => void answers.push(() => stores(...args))
    buffer.arrive(10)
    run({ maxReadings: 1, inOrderBelowMs: 0 })
    await until(() => answers.length === 1)
    answers.shift()?.()
    await until(() => answers.length === 1)
    buffer.arrive(1)
    uplink?.wake(1)
    await until(() => answers.length === 2)
    const [, , live] = hub.received
    expect(hub.received.slice(1).map(batch => batch.lane)).toEqual(['backlog', 'live'])
    expect(uplink?.status()).toMatchObject({ apart: true, lanes: { live: { inFlight: 1 }, backlog: { inFlight: 1 } } })
    for (const answer of answers.splice(0)) answer()
    hub.otherwise = stores
    await until(() => uplink?.status().state === 'idle')
    expect(live?.body).toBe('live batch with 1 readings')
    const { lanes, apart } = uplink!.status()
    expect(apart).toBe(false)
    expect(lanes.live.sentReadings + lanes.backlog.sentReadings).toBe(11)
    expect(lanes.backlog.sentReadings).toBe(9)
    expect([...hub.stored.keys()]).toHaveLength(11)
  })

  test('the live lane never has more than one batch in flight, the backlog its credits', async () => {
    hub.credits = 2
    const answers: (() => void)[] = []
    hub.otherwise = (...args) => void answers.push(() => stores(...args))
    buffer.arrive(20)
    run({ maxReadings: 1, inOrderBelowMs: 0, lingerMs: 0 })
    await until(() => answers.length === 1)
    answers.shift()?.()
    await until(() => answers.length === 2)
    buffer.arrive(1)
    uplink?.wake(1)
    await until(() => answers.length === 3)
    buffer.arrive(1)
    uplink?.wake(1)
    answers.pop()?.()
    await until(() => hub.received.length === 5)
    expect(hub.received.slice(1).map(batch => batch.lane)).toEqual(['backlog', 'backlog', 'live', 'live'])
    expect(hub.mostInFlight).toBe(3)
    for (const answer of answers.splice(0)) answer()
    hub.otherwise = stores
  })

  test('thousands of pending batches are brought a few at a time', async () => {
    buffer.arrive(300)
    for (let i = 0; i < 300; i++) await buffer.seal(1, 'live')
    run()
    await until(() => buffer.acknowledged.length === 300)
    expect(buffer.largestPage).toBeLessThanOrEqual(8)
    expect(buffer.acknowledged).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
  })

  test('with a bandwidth the next request waits until there is room for it', async () => {
    let nowMs = 0
    const clock = new HubClock({ wallMs: Date.now, monotonicMs: () => nowMs })
    buffer.arrive(2)
    run({ maxReadings: 1, lingerMs: 0, maxBytesPerS: 1000 }, { clock })
    await until(() => buffer.acknowledged.length === 1)
    const { looks } = buffer
    await until(() => buffer.looks >= looks + 3)
    expect(hub.received).toHaveLength(1)
    nowMs += 10_000
    await until(() => buffer.acknowledged.length === 2)
  })

  test('what the hub asks back is worked on to its end, once, however often it is named', async () => {
    const recalls = [5, 6].map(id => ({ id, device: 'press', metric: 'force', fromUs: 0, toUs: 9 }))
    const named = { accepted: 1, rejected: [], settled: 1, desiredConfigVersion: 0, credits: 1, recalls }
    const odd = [...recalls, { ...recalls[0], id: -1 }, { ...recalls[0], id: 9, device: '' }, null]
    for (const list of [odd, recalls, []]) {
      hub.behaviours.push((_hub, _batch, _request, response) => answer(response, 200, { ...named, recalls: list }))
    }
    buffer.arrive(1)
    run()
    await until(() => uplink?.status().recalls.done === 2)
    for (const count of [2, 3]) {
      buffer.arrive(1)
      await until(() => buffer.acknowledged.length === count)
    }
    expect(buffer.recallSteps).toEqual([5, 5, 6, 6])
    expect(uplink?.status().recalls).toEqual({ open: 0, done: 2 })
  })

  test('rejected readings are counted by reason', async () => {
    const rejected = [
      { index: 0, reason: 'future' },
      { index: 1, reason: 'future' },
      { index: 2, reason: 'A REASON OF TOMORROW' },
    ]
    hub.behaviours.push((_hub, _batch, _request, response) =>
      answer(response, 200, { accepted: 1, rejected, settled: 2, desiredConfigVersion: 0, credits: 1 }),
    )
    buffer.arrive(4)
    run()
    await until(() => buffer.acknowledged.length === 1)
    expect(uplink?.status().rejected).toEqual({ future: 2, other: 1 })
  })
})

describe('what may pass by itself is tried again with identical bytes', () => {
  test('a lost answer', async () => {
    hub.behaviours.push((h, batch, request) => {
      h.stored.set(batch.seq, batch.body)
      request.socket.destroy()
    })
    buffer.arrive(5)
    run()
    await until(() => buffer.acknowledged.length === 1)
    expect(hub.received).toHaveLength(2)
    expect(hub.received[1]).toEqual(hub.received[0])
    expect(buffer.acknowledged).toEqual([1])
  })

  test('503 with Retry-After is not tried again before that', async () => {
    const times: number[] = []
    hub.behaviours.push(
      (...args) => {
        times.push(performance.now())
        says(503, 'unavailable', { 'retry-after': '1' })(...args)
      },
      (...args) => {
        times.push(performance.now())
        stores(...args)
      },
    )
    buffer.arrive(5)
    run()
    await until(() => uplink?.status().state === 'waiting')
    expect(uplink?.status().detail).toBe('HTTP 503: it is unavailable')
    expect(uplink?.status().nextTryInMs).toBeGreaterThan(0)
    await until(() => buffer.acknowledged.length === 1)
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(995)
    expect(uplink?.status()).toMatchObject({ detail: '', failedTries: 1, lastError: { code: 'unavailable' } })
  })

  test.each([408, 429, 500, 502, 503, 504])('HTTP %i', async status => {
    hub.behaviours.push(says(status, 'x'))
    buffer.arrive(5)
    run()
    await until(() => buffer.acknowledged.length === 1)
    expect(hub.received[1]).toEqual(hub.received[0])
  })

  test('a reset connection, a hub that is silent, one that stops half way and one that is down', async () => {
    hub.behaviours.push(
      (_hub, _batch, request) => void request.socket.resetAndDestroy(),
      () => undefined,
      (_hub, _batch, _request, response) => void response.writeHead(200).write('{"acc'),
      (_hub, _batch, request, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{"acc')
        request.socket.end()
      },
    )
    buffer.arrive(5)
    run({ answerTimeoutMs: 50 })
    await until(() => buffer.acknowledged.length === 1)
    expect(hub.received).toHaveLength(5)
    expect(new Set(hub.received.map(batch => batch.body)).size).toBe(1)
  })

  test('an answer without end is cut off', async () => {
    let sent = 0
    hub.behaviours.push((_hub, _batch, _request, response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(16_384))) sent += 16_384
      }
      response.on('drain', more)
      more()
    })
    buffer.arrive(5)
    run()
    await until(() => buffer.acknowledged.length === 1)
    expect(sent).toBeLessThan(16 * 1024 * 1024)
  })

  test.each([
    ['text', 'thanks'],
    ['null', 'null'],
    ['a list', '[]'],
    ['another object', '{}'],
    [
      'more rejected than sent',
      {
        accepted: 0,
        rejected: Array(9).fill({ index: 0, reason: 'future' }),
        settled: 1,
        desiredConfigVersion: 0,
        credits: 1,
      },
    ],
    [
      'an index out of the batch',
      { accepted: 0, rejected: [{ index: 5, reason: 'x' }], settled: 1, desiredConfigVersion: 0, credits: 1 },
    ],
    ['a negative floor', { accepted: 5, rejected: [], settled: -1, desiredConfigVersion: 0, credits: 1 }],
  ])('a 200 with %s acknowledges nothing', async (_what, body) => {
    hub.behaviours.push((_hub, _batch, _request, response) => answer(response, 200, body))
    buffer.arrive(5)
    run()
    await until(() => buffer.acknowledged.length === 1)
    expect(hub.received).toHaveLength(2)
  })

  test('a hub that is away is found again, and the log says so once', async () => {
    const free = createServer()
    await new Promise<void>(resolve => free.listen(0, '127.0.0.1', resolve))
    const address = free.address()
    const port = typeof address === 'object' && address ? address.port : 0
    await new Promise(resolve => free.close(resolve))
    buffer.arrive(5)
    run({ hub: `http://127.0.0.1:${port}` })
    await until(() => (uplink?.status().failedTries ?? 0) >= 3)
    expect(uplink?.status()).toMatchObject({ state: 'waiting', backlogReadings: 5, lastError: { code: 'unavailable' } })
    expect(uplink?.status().detail).toContain('ECONNREFUSED')
    expect(logged.filter(line => line.level === 'warn')).toHaveLength(1)
  })

  test('a connection that the hub closed between two batches', async () => {
    run()
    for (let i = 1; i <= 3; i++) {
      buffer.arrive(1)
      await until(() => buffer.acknowledged.length === i)
      hub.dropConnections()
    }
    expect(seqs()).toEqual(expect.arrayContaining([1, 2, 3]))
  })
})

describe('the clock', () => {
  test.each([twoYearsMs, -twoYearsMs, -Date.now()])(
    'off by %i ms is corrected from the signed answer and the batch accepted',
    async offMs => {
      buffer.arrive(5)
      run({}, { clock: clockOff(offMs) })
      await until(() => buffer.acknowledged.length === 1)
      const { clockCorrections, clockOffsetMs, failedTries } = uplink?.status() ?? {}
      expect(clockCorrections).toBe(1)
      expect(failedTries).toBe(0)
      expect(Math.abs((clockOffsetMs ?? 0) + offMs)).toBeLessThan(60_000)
      expect(hub.received.map(batch => batch.lane)).toEqual(['live'])
      expect(logged.map(line => line.message)).toEqual([expect.stringContaining("machine's clock is off")])
    },
  )

  test('is not corrected by a forged answer', async () => {
    const forger = generateKeyPair()
    hub.otherwise = (h, _batch, request, response) => {
      answerSigned(h, request, response, forger.privateKey)
    }
    buffer.arrive(5)
    run()
    await until(() => (uplink?.status().failedTries ?? 0) >= 3)
    expect(uplink?.status()).toMatchObject({
      state: 'waiting',
      clockCorrections: 0,
      clockOffsetMs: null,
      lastError: { code: 'clock-skew' },
    })
    expect(uplink?.status().detail).toContain('does not verify')
    hub.otherwise = stores
    await until(() => buffer.acknowledged.length === 1)
  })

  test('is not corrected by an unsigned answer, nor by one that was signed for another request', async () => {
    let earlier: { body: string; headers: Record<string, string> } | null = null
    const realTime = hub.nowS
    hub.nowS = () => realTime() + 86_400
    buffer.arrive(5)
    // The first answer is genuine and corrects; kept by an eavesdropper, it is played back to later requests.
    const genuine = run()
    await until(() => genuine.status().clockCorrections === 1 && buffer.acknowledged.length === 1)
    await genuine.stop()
    hub.nowS = realTime
    hub.otherwise = (_hub, _batch, _request, response) =>
      answer(response, 401, earlier?.body ?? { code: 'clock-skew', hubTimeMs: 5 }, earlier?.headers)
    buffer.arrive(5)
    run()
    await until(() => (uplink?.status().failedTries ?? 0) >= 2)
    earlier = { body: '{"code":"clock-skew"}', headers: { 'signature-input': 'sig1=()', signature: 'sig1=:AAAA:' } }
    await until(() => (uplink?.status().failedTries ?? 0) >= 4)
    expect(uplink?.status().clockCorrections).toBe(0)
  })

  test('a hub that refuses its own time is not asked in a loop', async () => {
    buffer.arrive(5)
    let answered = 0
    hub.nowS = () => ++answered * 1e8
    run({ backoff: { baseMs: 3600_000, capMs: 3600_000 } })
    await until(() => uplink?.status().state === 'waiting')
    expect(uplink?.status().failedTries).toBe(1)
    expect(uplink?.status().detail).toContain('replicas')
  })
})

describe('a refused agent', () => {
  test.each([
    [401, 'agent-revoked'],
    [401, 'unauthenticated'],
    [403, 'agent-revoked'],
    [403, 'forbidden'],
    [404, 'not-found'],
    [302, 'x'],
  ])('by %i %s keeps its readings, says so, and is back when the hub relents', async (status, code) => {
    hub.otherwise = says(status, code, status === 302 ? { location: 'http://127.0.0.1:1/' } : {})
    buffer.arrive(5)
    run({ refusedRetryMs: 30 })
    await until(() => hub.received.length >= 2)
    await until(() => uplink?.status().state === 'refused')
    expect(uplink?.status().detail).toContain(`HTTP ${status}`)
    expect(buffer.acknowledged).toEqual([])
    expect(logged.filter(line => line.level === 'error')).toHaveLength(1)
    hub.otherwise = stores
    await until(() => buffer.acknowledged.length === 1)
    await until(() => uplink?.status().state === 'idle')
    expect(new Set(hub.received.map(batch => batch.body)).size).toBe(1)
  })
})

describe('a refused batch', () => {
  test.each([
    [400, 'malformed'],
    [409, 'no-code-of-a-hub'],
    [413, 'too-large'],
    [415, 'unsupported-media-type'],
    [422, 'unprocessable'],
  ])('by %i is kept, shown, and does not stop the next ones', async (status, code) => {
    hub.behaviours.push(says(status, code))
    buffer.arrive(3)
    run({ maxReadings: 1 })
    await until(() => buffer.acknowledged.length === 2)
    expect(buffer.acknowledged).toEqual([2, 3])
    expect(uplink?.status().held).toEqual([
      {
        epoch: 5,
        seq: 1,
        readings: 1,
        code: status === 409 ? 'conflict' : code,
        detail: `HTTP ${status}: it is ${code}`,
        tries: 1,
      },
    ])
    expect(uplink?.status()).toMatchObject({ state: 'sending', detail: expect.stringContaining('refuses a batch') })
    expect(logged.filter(line => line.level === 'error')).toHaveLength(1)
    expect((await buffer.pending(1000)).map(batch => batch.seq)).toEqual([1])
  })

  test('is tried again, ever more slowly, until the hub takes it', async () => {
    const refuse = says(422, 'unprocessable')
    hub.otherwise = (...args) =>
      (args[1].seq === 1 && seqs().filter(seq => seq === 1).length < 4 ? refuse : stores)(...args)
    buffer.arrive(2)
    run({ maxReadings: 1, heldBackoff: { baseMs: 5, capMs: 20 } })
    await until(() => buffer.acknowledged.length === 2)
    expect(seqs().filter(seq => seq === 1)).toHaveLength(4)
    expect(uplink?.status().held).toEqual([])
    expect(logged.filter(line => line.level === 'error')).toHaveLength(1)
  })

  test('too many of them stop new ones, and nothing is dropped', async () => {
    hub.otherwise = says(415, 'unsupported-media-type')
    buffer.arrive(50)
    run({ maxReadings: 1, maxHeld: 4, heldBackoff: { baseMs: 40, capMs: 40 } })
    await until(() => uplink?.status().state === 'blocked')
    await until(() => hub.received.length >= 8)
    expect(buffer.sealed).toHaveLength(4)
    hub.otherwise = stores
    await until(() => buffer.acknowledged.length === 50)
    expect(uplink?.status().held).toEqual([])
  })
})

describe('a batch whose identity the hub has with other contents', () => {
  test('goes out under another epoch, and that is told', async () => {
    hub.behaviours.push(says(409, 'conflict'))
    buffer.arrive(3)
    run({ maxReadings: 1 })
    await until(() => buffer.acknowledged.length === 3)
    const [first, again] = hub.received
    expect([first?.epoch, again?.epoch]).toEqual([5, 6])
    expect(again?.body).toBe(first?.body)
    await until(() => uplink?.status().state === 'idle')
    expect(uplink?.status()).toMatchObject({ resealed: 1, held: [], failedTries: 0 })
    expect(logged.filter(line => line.message.includes('cloned'))).toHaveLength(1)
  })

  test('is sealed again once only: a hub that refuses it all the same gets it slowly', async () => {
    hub.otherwise = says(409, 'conflict')
    buffer.arrive(50)
    run({ maxReadings: 1, maxHeld: 4, heldBackoff: { baseMs: 10, capMs: 10 } })
    await until(() => uplink?.status().state === 'blocked')
    await until(() => hub.received.length >= 20)
    expect(uplink?.status()).toMatchObject({ resealed: 4 })
    expect(buffer.sealed).toHaveLength(8)
    hub.otherwise = stores
    await until(() => buffer.acknowledged.length === 50)
  })

  test('is kept when the buffer cannot seal it again', async () => {
    hub.behaviours.push((...args) => {
      buffer.failure = new TributaryError('storage', 'the disk said no')
      says(409, 'conflict')(...args)
    })
    buffer.arrive(1)
    run({ heldBackoff: { baseMs: 5, capMs: 5 } })
    await until(() => uplink?.status().state === 'waiting')
    buffer.failure = null
    await until(() => buffer.acknowledged.length === 1)
    expect(hub.received.map(batch => batch.epoch)).toEqual([5, 5])
  })
})

describe('a conflict that the hub tells of with a later answer', () => {
  const digestOf = (seq: number) => hash('sha256', buffer.sealed.find(batch => batch.seq === seq)!.body)

  test('has the copy sent again under another epoch, once, however often it is told', async () => {
    buffer.arrive(2)
    run({ maxReadings: 1 })
    await until(() => buffer.acknowledged.length === 2)
    hub.conflicts = [{ epoch: 5, seq: 1, digest: digestOf(1) }]
    buffer.arrive(1)
    await until(() => buffer.acknowledged.length === 4)
    buffer.arrive(1)
    await until(() => buffer.acknowledged.length === 5)
    expect(hub.received.map(({ epoch }) => epoch)).toEqual([5, 5, 5, 6, 6])
    expect(uplink?.status()).toMatchObject({ resealed: 1, failedTries: 0 })
  })

  test('is looked for once and passed over when the batch is another gateway’s', async () => {
    buffer.arrive(1)
    run({ maxReadings: 1 })
    await until(() => buffer.acknowledged.length === 1)
    hub.conflicts = [{ epoch: 5, seq: 1, digest: 'ab'.repeat(32) }]
    buffer.arrive(3)
    await until(() => buffer.acknowledged.length === 4)
    expect(buffer.looksForCopies).toBe(1)
    expect(uplink?.status()).toMatchObject({ resealed: 0 })
  })

  test('that does not read as one spoils no answer', async () => {
    hub.conflicts = [null, { epoch: -1, seq: 1, digest: '' }, 7] as never
    buffer.arrive(1)
    run()
    await until(() => buffer.acknowledged.length === 1)
    expect(buffer.looksForCopies).toBe(0)
  })
})

describe('a hub that lost data', () => {
  test('gets again what it acknowledged, when its floor has fallen', async () => {
    buffer.arrive(4)
    run({ maxReadings: 1, settledFallMs: 0 })
    await until(() => buffer.acknowledged.length === 4)
    expect(buffer.settledCalls).toEqual([2, 3, 4, 5])
    const kept = [...hub.stored].filter(([seq]) => seq < 2)
    hub.stored.clear()
    for (const [seq, body] of kept) hub.stored.set(seq, body)
    hub.settled = 2
    buffer.arrive(1)
    await until(() => hub.stored.size === 5)
    expect([...hub.stored.keys()].sort()).toEqual([1, 2, 3, 4, 5])
    await until(() => uplink?.status().sentAgain !== 0)
    expect(logged.map(line => line.message)).toContainEqual(expect.stringContaining('has lost batches'))
  })
})

describe('a hub that lost what it had not stored yet', () => {
  test('gets it again once it has stored what was sent later', async () => {
    hub.behaviours.push(stores, (_hub, _batch, _request, response) =>
      answer(response, 200, { accepted: 1, rejected: [], settled: 2, reached: 1, desiredConfigVersion: 0, credits: 1 }),
    )
    buffer.arrive(3)
    run({ maxReadings: 1 })
    await until(() => hub.stored.size === 3)
    await until(() => uplink?.status().sentAgain === 2)
    expect(buffer.broughtBack).toEqual([2])
    expect([...hub.stored.keys()].sort()).toEqual([1, 2, 3])
  })

  test('is asked for the epochs before this one, and gets of them what it lacks', async () => {
    buffer.earlier = [
      { epoch: 1, floor: 7 },
      { epoch: 2, floor: 9 },
    ]
    hub.earlier.set(2, 9)
    buffer.arrive(3)
    run({ maxReadings: 1 })
    await until(() => buffer.broughtBack.length > 0)
    expect(hub.asked).toEqual([[1, 2]])
    expect(buffer.broughtBack).toEqual([1])
  })
})

describe('a buffer that fails', () => {
  test('is asked again until it works, and nothing counts as sent', async () => {
    buffer.arrive(5)
    buffer.failure = new TributaryError('storage', 'the disk said no')
    run()
    await until(() => uplink?.status().state === 'waiting')
    expect(uplink?.status().detail).toBe('the disk said no')
    buffer.failure = null
    await until(() => buffer.acknowledged.length === 1)
    await until(() => uplink?.status().state === 'idle')
  })

  test('while acknowledging leaves the batch pending, and it is sent again', async () => {
    hub.behaviours.push((...args) => {
      buffer.failure = new TributaryError('storage', 'the disk said no')
      stores(...args)
    })
    buffer.arrive(5)
    run()
    await until(() => uplink?.status().state === 'waiting')
    buffer.failure = null
    await until(() => buffer.acknowledged.length === 1)
    expect(hub.received).toHaveLength(2)
    expect(hub.received[1]).toEqual(hub.received[0])
  })
})

test('a batch that was evicted while the hub was away is not sent: it stands in the ledger', async () => {
  hub.behaviours.push(says(503, 'unavailable'), (...args) => {
    buffer.evict(1)
    says(503, 'unavailable')(...args)
  })
  buffer.arrive(2)
  run({ maxReadings: 1 })
  await until(() => buffer.acknowledged.length === 1)
  expect(buffer.acknowledged).toEqual([2])
  expect([...hub.stored.keys()]).toEqual([2])
})

describe('stopping', () => {
  test('cuts off what is under way and leaves it pending', async () => {
    hub.otherwise = () => undefined
    buffer.arrive(5)
    run()
    await until(() => hub.received.length === 1)
    await uplink?.stop()
    expect(uplink?.status().state).toBe('stopped')
    expect((await buffer.pending(1000)).map(batch => batch.seq)).toEqual([1])
  })

  test('ends a long wait at once', async () => {
    hub.otherwise = says(503, 'unavailable', { 'retry-after': '3600' })
    buffer.arrive(5)
    run()
    await until(() => uplink?.status().state === 'waiting')
    await uplink?.stop()
  })
})

test('plain http to another machine is refused unless it is allowed', async () => {
  expect(() => run({ hub: 'http://192.0.2.1:8080' })).toThrow('in clear')
  uplink = null
  run({ hub: 'http://192.0.2.1:8080', insecure: true })
})
