/** A gateway that runs twice under one identity and epoch, against a real hub: every reading of both is stored once. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { noCounters } from '@tributary/shared/batch/batch'
import { encodeBatch } from '@tributary/shared/batch/codec'
import { fields, formatBatchField, mediaTypes, paths } from '@tributary/shared/protocol'
import { signRequest } from '@tributary/shared/signature'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Buffer as ReadingBuffer } from '../agent/src/buffer/buffer.ts'
import { openBuffer } from '../agent/src/buffer/sqlite-buffer.ts'
import { type Identity, loadIdentity } from '../agent/src/identity/identity.ts'
import { Uplink } from '../agent/src/uplink/uplink.ts'
import { uplinkConfig } from '../agent/src/uplink/uplink-config.ts'
import { enrollAgent, hubPool, type RunningHub, startHub } from './harness/stack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-clone-'))
let hub: RunningHub
let identity: Identity

beforeAll(async () => {
  hub = await startHub({ folder })
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  identity = (await loadIdentity(join(folder, 'agent')))!
}, 120_000)

afterAll(async () => {
  await hub?.program.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const series = (device: string) => ({ device, metric: 'n', unit: '' })
const nowUs = Date.now() * 1000

/** What the other copy of the gateway sends: a batch of its own under the same epoch. */
async function sendAsTheOther(epoch: number, seq: number): Promise<number> {
  const { agentId, privateKey } = identity
  const counters = { ...noCounters, accepted: 1, stored: 1 }
  const clocks = { bootId: '6f1a7a3e-1111-4222-8333-444455556666', monotonicUs: 1, wallUs: nowUs }
  const body = encodeBatch({
    header: { agentId, epoch, seq, ...clocks, counters, losses: [], recallsDone: [] },
    columns: [
      { series: series('other'), tsUs: Float64Array.of(nowUs + seq), values: Float64Array.of(seq), quality: null },
    ],
    aggregates: [],
  })
  const own = {
    [fields.lane]: 'live',
    [fields.floor]: '1',
    [fields.batch]: formatBatchField(epoch, seq),
    'content-type': mediaTypes.batch,
  }
  const request = { method: 'POST', path: paths.batches, headers: own, body, agentId, privateKey }
  const headers = { ...own, ...signRequest({ ...request, createdS: Date.now() / 1000 }) }
  return (await fetch(hub.url + paths.batches, { method: 'POST', headers, body })).status
}

function accept(buffer: ReadingBuffer, n: number): Promise<void> {
  const reading = { series: series('own'), tsUs: nowUs + n, value: n, quality: 0 as const }
  const message = { readings: [reading], deadLetter: null, receipt: null, maybeDuplicate: false }
  return new Promise((resolve, reject) => buffer.accept(message, error => (error ? reject(error) : resolve())))
}

test('what the other copy took the numbers of is sealed again, stored once, and shown', async () => {
  const buffer = await openBuffer({ folder: join(folder, 'buffer'), worker: false, agentId: () => identity.agentId })
  const { epoch } = buffer
  for (const seq of [1, 2]) expect(await sendAsTheOther(epoch, seq)).toBe(200)
  for (let n = 0; n < 30; n++) {
    await accept(buffer, n)
    if (n % 10 === 9) await buffer.seal(10, 'live')
  }
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const uplink = new Uplink({ buffer, identity, config: uplinkConfig(), log })
  uplink.start()
  while (uplink.status().state !== 'idle' || (await buffer.stats()).sealedPending > 0) await sleep(20)
  expect(uplink.status()).toMatchObject({ resealed: 2, sentBatches: 3, held: [] })
  expect(buffer.epoch).not.toBe(epoch)
  await uplink.stop()
  await buffer.close()

  const pool = hubPool(hub.dataDir)
  const stored = async () => {
    const { rows } = await pool.query<{ device: string; value: number }>(
      'select device, value from reading join series using (series_id) order by device, value',
    )
    return rows
  }
  let rows = await stored()
  for (; rows.length < 32; rows = await stored()) await sleep(50)
  await pool.end()
  expect(rows.filter(({ device }) => device === 'own').map(({ value }) => value)).toEqual([...Array(30).keys()])
  expect(rows.filter(({ device }) => device === 'other').map(({ value }) => value)).toEqual([1, 2])
  const answer = await fetch(`${hub.url}/v1/gaps`, { headers: { authorization: `Bearer ${hub.adminKey}` } })
  const { items } = (await answer.json()) as {
    items: { kind: string; epoch: number; fromSeq: number; readings: number }[]
  }
  expect(items.filter(({ kind }) => kind === 'missing')).toEqual([])
  expect(items).toMatchObject([1, 2].map(fromSeq => ({ epoch, fromSeq, readings: 0, reason: 'resealed' })))
})
