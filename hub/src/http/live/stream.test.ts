// GET /v1/stream: what a page hears, and when it ends.
import { get, type IncomingMessage } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeAnomalies } from '../../detect/anomaly-rows.ts'
import { StoreEffect } from '../../store/store-effect.ts'
import { listen } from '../server.ts'
import { type TestGateway, TestHub } from '../test-hub.ts'
import { maxStreams } from './live-feed.ts'

let hub: TestHub
let gateway: TestGateway
let seq: number

beforeEach(async () => {
  hub = await TestHub.start()
  gateway = await hub.gateway()
  seq = 0
  await store(1)
})
afterEach(() => hub[Symbol.asyncDispose]())

/** As if the log and the store of some hub had passed it on. */
async function store(value: number): Promise<void> {
  const agentNo = (await hub.services.agents.find(gateway.agentId))!.agentNo
  seq += 1
  const envelope = { agentNo, receivedAtMs: Date.now(), rejected: new Map() }
  const judged = [{ partition: 0, offset: 0n, envelope, batch: gateway.batch(seq, [value]) } as never]
  await hub.database.transaction(tx => new StoreEffect({ database: hub.database }).apply(tx, judged))
}

/** A reader's side of a stream. */
class Listener {
  readonly response: Response
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #text = ''
  #done = false

  constructor(response: Response) {
    this.response = response
    this.#reader = response.body!.getReader()
  }

  /** The next event of that name, or null at the end. */
  async next(name: string): Promise<Record<string, unknown> | null> {
    for (;;) {
      const end = this.#text.indexOf('\n\n')
      if (end >= 0) {
        const [first = '', second = ''] = this.#text.slice(0, end).split('\n')
        this.#text = this.#text.slice(end + 2)
        if (first === `event: ${name}`) return JSON.parse(second.replace(/^data: /, ''))
        continue
      }
      if (this.#done) return null
      const { value, done } = await this.#reader.read()
      this.#done = done
      if (value) this.#text += Buffer.from(value).toString()
    }
  }

  /** Everything up to the end. */
  async end(): Promise<void> {
    while (!(await this.#reader.read()).done);
  }

  close(): Promise<void> {
    return this.#reader.cancel()
  }
}

async function listenTo(query = '', headers?: Record<string, string>): Promise<Listener> {
  const path = `/v1/stream${query}`
  const response = await (headers ? hub.send(path, { headers }) : hub.get(path))
  expect(response.status).toBe(200)
  return new Listener(response)
}

const seriesId = async () =>
  (await hub.database.pool.query<{ id: number }>('select min(series_id) as id from series')).rows[0]!.id

test('a stream begins with the overview and the agents', async () => {
  const listener = await listenTo()
  expect(listener.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  expect(listener.response.headers.get('cache-control')).toBe('no-store')
  expect(await listener.next('overview')).toMatchObject({
    hub: { version: '1.2.3' },
    agents: { total: 1, online: 1 },
    readings: 1,
  })
  expect(await listener.next('agents')).toMatchObject({ items: [{ agentId: gateway.agentId, status: 'online' }] })
  await listener.close()
})

test('what changes is told: stored readings, the overview, the agents', async () => {
  const id = await seriesId()
  const listener = await listenTo(`?series=${id}`)
  await listener.next('overview')
  await store(42)
  expect(await listener.next('points')).toEqual({ seriesId: id, tsMs: [expect.any(Number)], value: [42] })
  let overview = await listener.next('overview')
  while (overview?.readings !== 2) overview = await listener.next('overview')
  const agents = await listener.next('agents')
  expect(agents).toMatchObject({ items: [{ lastReadingAt: expect.any(String), lostReadings: 0 }] })
  await listener.close()
})

test('points go to those who watch the series, each to all of them', async () => {
  const id = await seriesId()
  const [first, second, other] = await Promise.all([
    listenTo(`?series=${id}`),
    listenTo(`?series=${id},7`),
    listenTo('?series=7'),
  ])
  await store(5)
  expect(await first.next('points')).toMatchObject({ value: [5] })
  expect(await second.next('points')).toMatchObject({ value: [5] })
  await first.close()
  await store(6)
  expect(await second.next('points')).toMatchObject({ value: [6] })
  await hub.services.live.close()
  expect(await other.next('points')).toBeNull()
})

test('more than may be told at once is a refresh', async () => {
  const id = await seriesId()
  const listener = await listenTo(`?series=${id}`)
  await hub.database.pool.query('update series_latest set readings = readings + 1001')
  expect(await listener.next('refresh')).toEqual({ seriesId: id })
  await listener.close()
})

test('an anomaly is told when it opens, rises and closes, and not when it is written again', async () => {
  const id = await seriesId()
  const peak = {
    surprise: 5,
    score: 0.99,
    severity: 'warning' as const,
    stream: 'value',
    value: 1,
    expected: 0,
    seenBefore: 0,
    learning: false,
  }
  const write = (surprise: number, closedUs: number | null, openedUs = 2_000_000) =>
    hub.database.transaction(tx =>
      writeAnomalies(tx, [{ seriesId: id, detector: 'lite', openedUs, closedUs, peak: { ...peak, surprise } }]),
    )
  await write(1, null, 1_000_000)
  const listener = await listenTo()
  const openAt = '1970-01-01T00:00:02.000Z'
  await write(5, null)
  expect(await listener.next('anomaly')).toMatchObject({ seriesId: id, openedAt: openAt, surprise: 5, closedAt: null })
  await write(5, null)
  await write(6, null)
  expect(await listener.next('anomaly')).toMatchObject({ openedAt: openAt, surprise: 6 })
  await write(6, 3_000_000)
  expect(await listener.next('anomaly')).toMatchObject({ surprise: 6, closedAt: '1970-01-01T00:00:03.000Z' })
  await listener.close()
})

test('an anomaly whose transaction commits after a later one is told too', async () => {
  const id = await seriesId()
  const listener = await listenTo()
  const insert = (opened: number) =>
    `insert into anomaly (anomaly_id, series_id, detector, opened_us, surprise, score, severity, stream, seen_before, learning)
     values (gen_random_uuid(), ${id}, 'lite', ${opened}, 1, 1, 'warning', 'value', 0, false)`
  const early = await hub.database.pool.connect()
  await early.query('begin')
  await early.query(insert(1_000_000))
  await hub.database.pool.query(insert(2_000_000))
  expect(await listener.next('anomaly')).toMatchObject({ openedAt: '1970-01-01T00:00:02.000Z' })
  await early.query('commit')
  early.release()
  expect(await listener.next('anomaly')).toMatchObject({ openedAt: '1970-01-01T00:00:01.000Z' })
  await listener.close()
})

test('a quiet stream has a beat', async () => {
  await using quiet = await TestHub.start({ live: { tickMs: 5, heartbeatTicks: 2 } })
  const listener = new Listener(await quiet.get('/v1/stream'))
  expect(await listener.next('beat')).toEqual({})
  await listener.close()
})

test('a stream ends with its session, and no other does', async () => {
  const cookie = await hub.signIn()
  const [mine, other] = [await listenTo('', { cookie }), await listenTo()]
  await hub.send('/v1/session', { method: 'DELETE', headers: { cookie, 'sec-fetch-site': 'same-origin' } })
  await mine.end()
  await store(2)
  expect(await other.next('overview')).not.toBeNull()
  await other.close()
})

test('a stream ends with its key, also one that a session of the key opened', async () => {
  const [byKey, bySession] = [await listenTo(), await listenTo('', { cookie: await hub.signIn() })]
  await hub.database.pool.query('update api_key set revoked_at = now()')
  await Promise.all([byKey.end(), bySession.end()])
})

test('a session past its time ends its stream', async () => {
  const listener = await listenTo('', { cookie: await hub.signIn() })
  await hub.database.pool.query('update session set expires_at = now()')
  await listener.end()
})

test('a hub serves so many streams and no more, until one leaves', async () => {
  const all = await Promise.all(Array.from({ length: maxStreams }, () => listenTo()))
  const refused = await hub.get('/v1/stream')
  expect(refused.status).toBe(503)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await refused.json()).toMatchObject({ code: 'unavailable', detail: expect.stringContaining('200 streams') })
  await all[0]!.close()
  const late = await listenTo()
  await Promise.all([...all.slice(1), late].map(one => one.close()))
})

test('nobody polls while nobody listens, and the next reader is served as the first was', async () => {
  const calls = async () =>
    (
      await hub.database.pool.query<{ n: number }>(
        `select xact_commit as n from pg_stat_database where datname = current_database()`,
      )
    ).rows[0]!.n
  await (await listenTo()).close()
  const rested = async () => {
    await hub.database.pool.query('select pg_stat_force_next_flush()')
    const before = await calls()
    await new Promise(resolve => setTimeout(resolve, 100))
    await hub.database.pool.query('select pg_stat_force_next_flush()')
    return (await calls()) - before <= 4
  }
  while (!(await rested()));
  const listener = await listenTo(`?series=${await seriesId()}`)
  await store(8)
  expect(await listener.next('points')).toMatchObject({ value: [8] })
  await listener.close()
})

test('a stop ends streams and refuses new ones', async () => {
  const listener = await listenTo()
  await hub.services.live.close()
  await listener.end()
  const refused = await hub.get('/v1/stream')
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).not.toBeNull()
})

test('a database that is away for a while ends no stream', async () => {
  const id = await seriesId()
  const listener = await listenTo(`?series=${id}`)
  await hub.database.pool.query('alter table series_latest rename to series_gone')
  await new Promise(resolve => setTimeout(resolve, 100))
  await hub.database.pool.query('alter table series_gone rename to series_latest')
  await store(3)
  expect(await listener.next('points')).toMatchObject({ value: [3] })
  await listener.close()
})

test('a reader that takes nothing is cut off, its connection too, and the others go on', async () => {
  await hub.database.pool.query(
    `insert into agent (agent_id, site, name, labels)
     select 'ag-' || i, 'mill', 'x', jsonb_build_object('note', repeat('x', 1500)) from generate_series(1, 999) i`,
  )
  const server = await listen(hub.app, { host: '127.0.0.1', port: 0, tls: null })
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${server.url}/v1/stream`, { headers: { authorization: `Bearer ${hub.adminKey}` } }, resolve).on(
        'error',
        reject,
      )
    })
    answer.pause()
    const closed = new Promise<void>(resolve => answer.socket.once('close', () => resolve()))
    const other = await listenTo()
    let open = true
    const cut = closed.then(() => {
      open = false
    })
    while (open) {
      await hub.database.pool.query(`update agent set name = name || 'x' where agent_no = 1`)
      await other.next('agents')
      // Node sees a closed connection only when it reads; what is in its buffers is of no matter.
      if (hub.services.live.readers === 1) answer.resume()
    }
    await cut
    await hub.database.pool.query(`update agent set name = 'last' where agent_no = 1`)
    expect(await other.next('agents')).not.toBeNull()
    await other.close()
  } finally {
    await server.close(0)
  }
})

test.each([
  'series=0',
  'series=1,a',
  `series=${Array.from({ length: 51 }, (_, i) => i + 1)}`,
  'series=1&other=2',
  'series=2147483648',
])('?%s is refused', async query => {
  const response = await hub.get(`/v1/stream?${query}`)
  expect(response.status).toBe(400)
  expect(((await response.json()) as { detail: string }).detail).toMatch(/^(series|other): /)
})

test.each(['', '?series=', `?series=${Array.from({ length: 50 }, (_, i) => i + 1)}`])('%j is taken', async query => {
  await (await listenTo(query)).close()
})
