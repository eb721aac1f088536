/**
 * What a batch of 1,000 readings costs the hub before it is stored: ours verifies the signature, decodes and judges; the other side
 * gunzips JSON rows and checks them with zod, and has no signature to verify.
 *
 * Both sides take turns of `--seconds` in one process on bodies made from the same readings; batches a second on one core.
 */
import { gzipSync } from 'node:zlib'
import { type Batch, noCounters, type SeriesColumns } from '@tributary/shared/batch/batch'
import { encodeBatch } from '@tributary/shared/batch/codec'
import { fields, formatBatchField, mediaTypes, paths } from '@tributary/shared/protocol'
import { signRequest } from '@tributary/shared/signature'
import { generateKeyPair } from '@tributary/shared/signature-keys'
import type { AgentStanding } from '../hub/src/devices/agent-directory.ts'
import { judgeBatch, type SeriesBudget } from '../hub/src/ingest/judge.ts'
import { type BatchRequest, openBatch } from '../hub/src/ingest/open-batch.ts'
import { type Bench, type BenchContext, type BenchResult, compare } from './bench.ts'
import { fleetColumns } from './load/fleet-columns.ts'
import { openJsonBatch } from './other/json-zod-hub.ts'

const readings = 1000
const bodies = 32
const agentId = 'ag-abcdefghij2345klmnop'

export const hub: Bench = {
  name: 'hub',
  summary: 'verify, decode and judge a batch of 1,000 readings, against gunzip, JSON.parse and zod',
  options: { seconds: { type: 'string', value: 'S', default: '1.5', help: 'each turn of each side' } },
  run,
}

async function run({ values, runs, progress }: BenchContext): Promise<BenchResult> {
  const ms = Number(values.seconds) * 1000
  const batches = Array.from({ length: bodies }, (_, seed) => fleetColumns(seed + 1, readings / 20))
  const ours = ourSide(batches)
  const other = otherSide(batches)
  rate(ours, ms)
  rate(other, ms)
  const rates = { ours: [] as number[], other: [] as number[] }
  for (let i = 0; i < runs; i++) {
    rates.ours.push(rate(ours, ms))
    rates.other.push(rate(other, ms))
    progress(`run ${i + 1}/${runs}: ours ${rates.ours.at(-1)}, other ${rates.other.at(-1)} batches/s`)
  }
  return compare({ ...rates, what: 'gzip, JSON.parse and zod; no signature', unit: 'batches/s', better: 'rate' })
}

/** One call opens the next body; batches a second. */
function rate(openNext: () => number, ms: number): number {
  const startMs = performance.now()
  let count = 0
  while (performance.now() - startMs < ms) {
    if (openNext() !== readings) throw new Error('a batch was not taken whole')
    count++
  }
  return Math.round(count / ((performance.now() - startMs) / 1000))
}

function ourSide(batches: readonly (readonly SeriesColumns[])[]): () => number {
  const { publicKey, privateKey } = generateKeyPair()
  const standing: AgentStanding = { agentNo: 1, agentId, site: 'bench', revoked: false, keys: [publicKey] }
  const nowMs = Date.now()
  const requests = batches.map((columns, i): BatchRequest => {
    const body = encodeBatch({ header: { ...header, seq: i + 1 }, columns, aggregates: [] })
    const headers = {
      'content-type': mediaTypes.batch,
      [fields.lane]: 'live',
      [fields.floor]: '1',
      [fields.batch]: formatBatchField(header.epoch, i + 1),
    }
    const request = { method: 'POST', path: paths.batches, headers, body }
    return {
      ...request,
      headers: { ...headers, ...signRequest({ ...request, agentId, privateKey, createdS: nowMs / 1000 }) },
    }
  })
  const known = new Set<string>()
  const budget: SeriesBudget = { admit: (device, metric) => known.add(`${device}\0${metric}`).size < 10_000 }
  let next = 0
  return () => {
    const opened = openBatch(requests[next++ % bodies]!, standing, nowMs)
    const verdict = judgeBatch(opened.batch, nowMs, budget)
    return opened.batch.columns.reduce((sum, column) => sum + column.tsUs.length, 0) - verdict.size
  }
}

function otherSide(batches: readonly (readonly SeriesColumns[])[]): () => number {
  const gzipped = batches.map((columns, i) => {
    const rows = columns.flatMap(({ series, tsUs, values }) =>
      Array.from(tsUs, (ts, at) => ({ device: series.device, metric: series.metric, ts, value: values[at]! })),
    )
    return gzipSync(JSON.stringify({ agent: agentId, epoch: header.epoch, seq: i + 1, readings: rows }), { level: 6 })
  })
  let next = 0
  return () => openJsonBatch(gzipped[next++ % bodies]!)
}

const header: Batch['header'] = {
  agentId,
  epoch: 123_456_789_012_345,
  seq: 1,
  bootId: '3f2c1a00-1234-4abc-8def-0123456789ab',
  monotonicUs: 86_400_000_123,
  wallUs: 1_763_800_000_123_456,
  counters: { ...noCounters, accepted: 1_234_000, stored: 1_233_990, deadLettered: 10, maybeDuplicate: 2 },
  losses: [],
  recallsDone: [],
}
