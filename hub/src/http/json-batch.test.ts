import { gzipSync } from 'node:zlib'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { mediaTypes } from '@tributary/shared/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestGateway, TestHub } from './test-hub.ts'

let hub: TestHub
let gateway: TestGateway
let seq = 0

beforeAll(async () => {
  hub = await TestHub.start()
  gateway = await hub.gateway()
})
afterAll(() => hub[Symbol.asyncDispose]())

const nowUs = Date.now() * 1000

function document(series: unknown, header: object = {}): unknown {
  return { header: { agentId: gateway.agentId, epoch: 7, seq: ++seq, ...header }, series }
}

function send(
  value: unknown,
  headers: Record<string, string> = {},
  encode = (text: string): Uint8Array => Buffer.from(text),
) {
  return gateway.sendBody(Uint8Array.from(encode(JSON.stringify(value))), {
    headers: { 'content-type': mediaTypes.json, 'tributary-batch': `epoch=7;seq=${seq}`, ...headers },
  })
}

const series = [
  { device: 'pump', metric: 'temperature', unit: 'Cel', ts: [nowUs, nowUs + 1], values: [1.5, 2], quality: [0, 2] },
  { device: 'pump', metric: 'state', ts: [nowUs], values: ['on'] },
]

test('the open form is taken and logged in the binary form', async () => {
  const response = await send(document(series))
  expect(await response.json()).toMatchObject({ accepted: 3, rejected: [] })
  const { columns } = decodeBatch(hub.appended.at(-1)!.batch)
  expect(columns).toHaveLength(2)
  expect(columns[0]).toMatchObject({
    series: { device: 'pump', metric: 'temperature', unit: 'Cel' },
    tsUs: Float64Array.of(nowUs, nowUs + 1),
    values: Float64Array.of(1.5, 2),
    quality: Uint8Array.of(0, 2),
  })
  expect(columns[1]).toMatchObject({ values: ['on'], quality: null })
})

test('gzip and a charset are understood, and the same document has the same digest', async () => {
  const same = document(series)
  await send(same)
  const plain = hub.appended.at(-1)!
  const type = 'application/json; charset=utf-8'
  const response = await send(same, { 'content-type': type, 'content-encoding': 'gzip' }, gzipSync)
  expect(response.status).toBe(200)
  expect(hub.appended.at(-1)!.digest).toEqual(plain.digest)
})

test.each([
  ['columns of different lengths', [{ device: 'a', metric: 'b', ts: [1, 2], values: [1] }], 'same length'],
  ['an unknown key', [{ device: 'a', metric: 'b', ts: [], values: [], typo: 1 }], 'typo'],
  ['a fraction of a microsecond', [{ device: 'a', metric: 'b', ts: [1.5], values: [1] }], 'series.0.ts.0'],
  ['a value that is none', [{ device: 'a', metric: 'b', ts: [1], values: [null] }], 'series.0.values.0'],
])('%s is refused as malformed, with the place', async (_, bad, detail) => {
  const response = await send(document(bad))
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ code: 'malformed', detail: expect.stringContaining(detail) })
})

test('what is not gzip, and what inflates beyond its bound, is refused', async () => {
  expect((await send(document(series), { 'content-encoding': 'gzip' })).status).toBe(400)
  const bomb = await send(document(series), { 'content-encoding': 'gzip' }, () =>
    gzipSync(Buffer.alloc(33 * 1024 * 1024)),
  )
  expect(bomb.status).toBe(413)
})

test('a compressed binary batch is refused: it is compressed already', async () => {
  const response = await send(document(series), { 'content-type': mediaTypes.batch, 'content-encoding': 'gzip' })
  expect(response.status).toBe(415)
})
