// A whole hub over its socket: event log, store, detect and REST on a real Postgres.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BatchAnswer, batchLimits, fields, type HelloAnswer, mediaTypes, paths } from '@tributary/shared/protocol'
import { signRequest } from '@tributary/shared/signature'
import { generateKeyPair } from '@tributary/shared/signature-keys'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseHubConfig } from './config/hub-config.ts'
import type { Database } from './database/database.ts'
import { testDatabase } from './database/test-database.ts'
import { enrolledGateway, type Send, type TestGateway } from './http/test-hub.ts'
import { type Hub, startHub } from './hub.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-hub-'))
const logger = pino({ level: 'silent' })
let database: Database
let hub: Hub
let adminKey: string

const send: Send = (path, init) => fetch(hub.url + path, init)

beforeAll(async () => {
  database = await testDatabase({ connections: 40 })
  hub = await startHub({ config: configOf(join(folder, 'data')), logger, database })
  adminKey = readFileSync(hub.adminKeyFile!, 'utf8').trim()
})
afterAll(async () => {
  await hub?.stop()
  await database.close()
  rmSync(folder, { recursive: true })
})

function configOf(dataDir: string, more = '') {
  return parseHubConfig(`listen:\n  port: 0\n${more}`, 'hub.yaml', {
    TRIBUTARY_DATA_DIR: dataDir,
  })
}

async function rest<T>(path: string, method = 'GET', body?: unknown): Promise<T> {
  const response = await send(path, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  expect(response.status).toBeLessThan(300)
  return (await response.json()) as T
}

async function gateway(): Promise<TestGateway> {
  const { token } = await rest<{ token: string }>('/v1/tokens', 'POST', { site: 'mill' })
  return enrolledGateway(send, token)
}

async function eventually<T>(probe: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const found = await probe()
    if (found !== null) return found
    await sleep(20)
  }
}

interface Page<T> {
  readonly items: T[]
  readonly next: string | null
}

/** Once its first readings are stored: whichever consumer comes first makes the series. */
function seriesOf(agentId: string): Promise<number> {
  return eventually(async () => {
    const path = `/v1/series?include=latest&agent=${agentId}`
    const { items } = await rest<Page<{ seriesId: number; latest: object | null }>>(path)
    return items[0]?.latest ? items[0].seriesId : null
  })
}

test('a batch sent three times is stored once', async () => {
  const sender = await gateway()
  const batch = sender.batch(1, [1.5, 2.5, 3.5])
  for (let i = 0; i < 3; i++) expect((await sender.sendBatch(batch)).status).toBe(200)
  await sender.sendBatch(sender.batch(2, [9]))
  const id = await seriesOf(sender.agentId)
  const { rows } = await eventually(async () => {
    const found = await database.pool.query('select value from reading where series_id = $1 order by ts, value', [id])
    return found.rows.length >= 4 ? found : null
  })
  expect(rows.map(row => row.value)).toEqual([1.5, 2.5, 3.5, 9])
})

test('rejected readings are dead letters, the others of the batch are stored, and the floor settles', async () => {
  const sender = await gateway()
  const nowUs = Date.now() * 1000
  const batch = sender.batch(1, [1, 2, 3], [0, Date.UTC(2099, 0) * 1000, nowUs])
  await sender.sendBatch(batch)
  const letters = await eventually(async () => {
    const { items } = await rest<Page<{ reason: string; stage: string }>>(`/v1/dead-letters?agent=${sender.agentId}`)
    return items.length === 2 ? items : null
  })
  expect(letters.map(letter => letter.reason).sort()).toEqual(['before-2000', 'future'])
  const settled = await eventually(async () => {
    const answer = (await (await sender.sendBatch(batch)).json()) as BatchAnswer
    return answer.settled > 1 ? answer.settled : null
  })
  expect(settled).toBe(2)
})

test('an agent is told how much of which epoch is stored', async () => {
  const sender = await gateway()
  for (const seq of [1, 2]) await sender.sendBatch(sender.batch(seq))
  const last = sender.batch(4)
  const { settled, reached } = await eventually(async () => {
    const answer = (await (await sender.sendBatch(last)).json()) as BatchAnswer
    return answer.reached === 4 ? answer : null
  })
  expect([settled, reached]).toEqual([3, 4])
  const hello = (await (await sender.hello(undefined, undefined, '?epochs=7,8')).json()) as HelloAnswer
  expect(hello.settled).toEqual([
    { epoch: 7, settled: 3 },
    { epoch: 8, settled: 1 },
  ])
})

test('readings are paged over equal times without losing or doubling one', async () => {
  const sender = await gateway()
  const t0 = (Date.now() - 60_000) * 1000
  const values = Array.from({ length: 23 }, (_, i) => i)
  await sender.sendBatch(
    sender.batch(
      1,
      values,
      values.map(i => t0 + Math.floor(i / 9)),
    ),
  )
  const id = await seriesOf(sender.agentId)
  const read: number[] = []
  let path = `/v1/series/${id}/readings?resolution=raw&limit=4`
  for (;;) {
    const page = await rest<Page<{ value: number; ts: string }>>(path)
    read.push(...page.items.map(item => item.value))
    if (page.next === null) break
    path = `/v1/series/${id}/readings?limit=4&cursor=${page.next}`
  }
  expect(read).toEqual(values)
})

test('strings, booleans and numbers keep their type, in JSON and in CSV', async () => {
  const sender = await gateway()
  const t0 = (Date.now() - 1000) * 1000
  await sender.sendBatch(sender.batch(1, [1.5, true, 'on, "so"', false], [t0, t0 + 1, t0 + 2, t0 + 3]))
  const id = await seriesOf(sender.agentId)
  const { items } = await rest<Page<{ value: unknown; ts: string; quality: string }>>(`/v1/series/${id}/readings`)
  expect(items.map(item => item.value)).toEqual([1.5, true, 'on, "so"', false])
  expect(items[1]!.ts).toBe(new Date(t0 / 1000).toISOString().replace('Z', '001Z'))
  const csv = await send(`/v1/series/${id}/readings?format=csv&limit=3`, {
    headers: { authorization: `Bearer ${adminKey}` },
  })
  expect(csv.headers.get('content-type')).toContain('text/csv')
  expect(csv.headers.get('tributary-next')).not.toBeNull()
  const lines = (await csv.text()).split('\r\n')
  expect(lines).toHaveLength(5)
  expect(lines[3]).toMatch(/,"on, ""so""",good$/)
})

test('minutes are there at once, before and after they are rolled up', async () => {
  const sender = await gateway()
  const minuteUs = Math.floor(Date.now() / 60_000) * 60_000_000
  const past = minuteUs - 10 * 60_000_000
  await sender.sendBatch(sender.batch(1, [1, 2, 6, 10], [past, past + 1, minuteUs, minuteUs + 1]))
  const id = await seriesOf(sender.agentId)
  const expected = [
    { readings: 2, n: 2, mean: 1.5, min: 1, max: 2, first: 1, last: 2 },
    { readings: 2, n: 2, mean: 8, min: 6, max: 10, first: 6, last: 10 },
  ]
  const minutes = () => rest<Page<unknown>>(`/v1/series/${id}/readings?resolution=1m`)
  expect((await minutes()).items).toMatchObject(expected)
  await eventually(async () => {
    const { rowCount } = await database.pool.query('select from rollup_1m where series_id = $1', [id])
    return rowCount === 0 ? null : rowCount
  })
  expect((await minutes()).items).toMatchObject(expected)
})

test('a seq that never came is a gap, and so is what the agent reports as lost', async () => {
  const sender = await gateway()
  await sender.sendBatch(sender.batch(1))
  const later = sender.batch(5)
  const losses = [{ epoch: 7, fromSeq: 2, toSeq: 3, readings: 40, exact: true, reason: 'evicted' }]
  await sender.sendBatch({ ...later, header: { ...later.header, losses } })
  const gapsOf = (count: number, kind: string) =>
    eventually(async () => {
      const { items } = await rest<Page<{ kind: string }>>(`/v1/gaps?agent=${sender.agentId}`)
      return items.length === count && items.at(-1)?.kind === kind ? items : null
    })
  await gapsOf(2, 'on-its-way')
  await sender.sendBatch(sender.batch(6), { headers: { [fields.floor]: '6' } })
  const gaps = await gapsOf(2, 'missing')
  expect(gaps).toMatchObject([
    { epoch: 7, kind: 'lost', fromSeq: 2, toSeq: 3, readings: 40, exact: true, reason: 'evicted' },
    { epoch: 7, kind: 'missing', fromSeq: 4, toSeq: 4, readings: null },
  ])
  const first = await rest<Page<object>>(`/v1/gaps?agent=${sender.agentId}&limit=1`)
  const rest2 = await rest<Page<object>>(`/v1/gaps?agent=${sender.agentId}&limit=1&cursor=${first.next}`)
  expect([...first.items, ...rest2.items]).toEqual(gaps)
})

test('a revocation is heard by another hub on the same database', async () => {
  const other = await startHub({ config: configOf(join(folder, 'other')), logger, database })
  try {
    const sender = await gateway()
    const elsewhere = await enrolledGateway(
      (path, init) => fetch(other.url + path, init),
      (await rest<{ token: string }>('/v1/tokens', 'POST', { site: 'mill' })).token,
    )
    expect((await elsewhere.sendBatch(elsewhere.batch(1))).status).toBe(200)
    expect((await sender.sendBatch(sender.batch(1))).status).toBe(200)
    await rest(`/v1/agents/${elsewhere.agentId}/revoke`, 'POST')
    const refused = await eventually(async () => {
      const response = await elsewhere.sendBatch(elsewhere.batch(2))
      return response.status === 200 ? null : response
    })
    expect(refused.status).toBe(403)
    expect((await sender.sendBatch(sender.batch(2))).status).toBe(200)
  } finally {
    await other.stop()
  }
})

test('a stream at another hub tells what is stored here, and ends when that hub stops', async () => {
  const sender = await gateway()
  await sender.sendBatch(sender.batch(1, [1]))
  const id = await seriesOf(sender.agentId)
  const other = await startHub({ config: configOf(join(folder, 'listening')), logger, database })
  try {
    const headers = { authorization: `Bearer ${adminKey}` }
    const response = await fetch(`${other.url}/v1/stream?series=${id}`, { headers })
    expect(response.status).toBe(200)
    const reader = response.body!.getReader()
    let text = ''
    const read = async () => {
      const { value, done } = await reader.read()
      if (value) text += Buffer.from(value).toString()
      return !done
    }
    await sender.sendBatch(sender.batch(2, [42]))
    while (!/event: points\ndata: .*"value":\[42\]/.test(text)) expect(await read()).toBe(true)
    expect(text).toMatch(/^event: overview\ndata: \{"hub":\{"version":"\d+\.\d+\.\d+"/)
    const stopped = other.stop()
    while (await read());
    await stopped
  } finally {
    await other.stop()
  }
})

test('a body without a declared length is refused at its bound, and the refusal arrives', async () => {
  const { agentId } = await gateway()
  const { privateKey } = generateKeyPair()
  const path = paths.batches
  const signed = { [fields.lane]: 'live', [fields.floor]: '1', [fields.batch]: 'epoch=1;seq=1' }
  const body = new Uint8Array()
  const headers = {
    ...signed,
    ...signRequest({ method: 'POST', path, headers: signed, body, agentId, privateKey, createdS: Date.now() / 1000 }),
    'content-type': mediaTypes.batch,
  }
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const outgoing = httpRequest(hub.url + path, { method: 'POST', headers }, response => {
      response.resume()
      resolve(response.statusCode)
    })
    outgoing.on('error', reject)
    outgoing.write(Buffer.alloc(batchLimits.bodyBytes + 1))
  })
  expect(status).toBe(413)
})

test('lists refuse what they do not know, with the parameter’s name', async () => {
  const refused = async (path: string) => {
    const response = await send(path, { headers: { authorization: `Bearer ${adminKey}` } })
    expect(response.status).toBe(400)
    return ((await response.json()) as { detail: string }).detail
  }
  expect(await refused('/v1/series?limit=0')).toMatch(/^limit: /)
  expect(await refused('/v1/series?agnet=x')).toMatch(/^agnet: no such parameter/)
  expect(await refused('/v1/series?cursor=x')).toMatch(/^cursor: /)
  expect(await refused('/v1/series/x/readings')).toMatch(/^id: /)
  expect(await refused('/v1/series/1/readings?from=yesterday')).toMatch(/^from: neither ISO 8601/)
  expect(await refused('/v1/anomalies?severity=bad')).toMatch(/^severity: /)
})

test('/readyz names every consumer, /metrics counts', async () => {
  const ready = await (await send('/readyz', {})).json()
  expect(ready).toEqual({ ready: true, checks: { database: 'ok', 'consumer store': 'ok', 'consumer detect': 'ok' } })
  const metrics = await (await send('/metrics', {})).text()
  expect(metrics).toMatch(/^tributary_ingest_batches_total [1-9]/m)
  expect(metrics).toMatch(/^tributary_consumer_duplicates_total\{consumer="store"\} [1-9]/m)
  expect(metrics).toMatch(/^tributary_log_lag_records\{consumer="store"\} \d/m)
  expect(metrics).toMatch(/^tributary_missing_batches [1-9]/m)
  expect(metrics).toMatch(/^tributary_lost_readings 40$/m)
  expect(metrics).toMatch(/^tributary_agent_readings\{fate="stored"\} [1-9]/m)
})

test('HTTPS is served with a certificate, and cookies are kept to it', async () => {
  const [cert, key] = [join(folder, 'hub.crt'), join(folder, 'hub.key')]
  const args = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '2', '-subj', '/CN=localhost']
  execFileSync('openssl', [...args, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  })
  const tls = `  tls:\n    cert_file: ${cert}\n    key_file: ${key}\n`
  const secure = await startHub({ config: configOf(join(folder, 'tls'), tls), logger, database })
  try {
    const key = readFileSync(join(folder, 'data', 'admin-key'), 'utf8').trim()
    const options = { ca: readFileSync(cert), method: 'POST', headers: { 'content-type': 'application/json' } }
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      httpsRequest(`${secure.url}/v1/session`, options, response => resolve(response.resume()))
        .on('error', reject)
        .end(JSON.stringify({ key }))
    })
    expect(answer.statusCode).toBe(204)
    expect(answer.headers['set-cookie']).toEqual([expect.stringMatching(/; Secure/)])
  } finally {
    await secure.stop()
  }
})

test('a port in use is said with what to do, and nothing stays behind', async () => {
  const port = new URL(hub.url).port
  const config = parseHubConfig(`listen: {port: ${port}}`, 'hub.yaml', {
    TRIBUTARY_DATA_DIR: join(folder, 'second'),
  })
  await expect(startHub({ config, logger, database })).rejects.toMatchObject({
    code: 'in-use',
    hint: expect.stringContaining('--port'),
  })
})

test('a stop lets a request that is under way finish', async () => {
  const own = await startHub({ config: configOf(join(folder, 'stopping')), logger, database })
  const sender = await enrolledGateway(
    (path, init) => fetch(own.url + path, init),
    (await rest<{ token: string }>('/v1/tokens', 'POST', { site: 'mill' })).token,
  )
  await using blocker = await blockLog()
  const answer = sender.sendBatch(sender.batch(1))
  await eventually(async () => {
    const metrics = await (await fetch(`${own.url}/metrics`)).text()
    return /^tributary_ingest_in_flight_bytes [1-9]/m.test(metrics) ? true : null
  })
  const stopped = own.stop()
  await blocker.release()
  expect((await answer).status).toBe(200)
  await stopped
  await expect(fetch(`${own.url}/healthz`)).rejects.toThrow()
})

/** Holds the log's head rows: appends wait until they are released. */
async function blockLog() {
  const tx = await database.pool.connect()
  await tx.query('begin')
  await tx.query('select from log_head for update')
  let held = true
  const release = async () => {
    if (!held) return
    held = false
    await tx.query('rollback')
    tx.release()
  }
  return { release, [Symbol.asyncDispose]: release }
}
