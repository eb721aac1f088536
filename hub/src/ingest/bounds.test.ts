// What ingest keeps in memory, each at its bound.
import { isTributaryError } from '@tributary/shared/errors'
import { maxClockSkewS } from '@tributary/shared/protocol'
import { expect, test } from 'vitest'
import { testDatabase } from '../database/test-database.ts'
import { InFlight } from './in-flight.ts'
import { Nonces } from './nonces.ts'
import { readBody } from './read-body.ts'
import { RecentBatches } from './recent-batches.ts'
import { spreadRetryAfterS } from './retry-after.ts'
import { SeriesBudgets } from './series-budgets.ts'

function streamOf(...chunks: number[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks.map(length => new Uint8Array(length)))
}

test('a body at its bound is read, one byte more is refused while it arrives, and nothing stays counted', async () => {
  const inFlight = new InFlight(1000)
  const body = await readBody({ declaredLength: undefined, stream: streamOf(60, 40) }, 100, inFlight)
  expect(body).toHaveLength(100)
  expect(inFlight.bytes).toBe(100)
  inFlight.release(body.length)
  const tooLong = readBody({ declaredLength: undefined, stream: streamOf(60, 41) }, 100, inFlight)
  await expect(tooLong).rejects.toMatchObject({ code: 'too-large' })
  expect(inFlight.bytes).toBe(0)
})

test('a body that declares too much is refused before a byte is read', async () => {
  const stream = streamOf(10)
  const refused = readBody({ declaredLength: '101', stream }, 100, new InFlight(1000))
  await expect(refused).rejects.toMatchObject({ code: 'too-large' })
  expect((await stream.getReader().read()).value).toHaveLength(10)
})

test('bodies beyond the bytes in flight are refused as unavailable with a Retry-After, and fit again after a release', async () => {
  const inFlight = new InFlight(100)
  const first = await readBody({ declaredLength: '60', stream: streamOf(60) }, 100, inFlight)
  const second = readBody({ declaredLength: undefined, stream: streamOf(30, 11) }, 100, inFlight)
  const error: unknown = await second.catch((thrown: unknown) => thrown)
  expect(isTributaryError(error, 'unavailable') && error.retryAfterS! >= 1).toBe(true)
  expect(inFlight.bytes).toBe(60)
  inFlight.release(first.length)
  await expect(readBody({ declaredLength: '60', stream: streamOf(60) }, 100, inFlight)).resolves.toHaveLength(60)
})

test('a body that breaks off is refused and releases what it held', async () => {
  const inFlight = new InFlight(100)
  const broken = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new Uint8Array(10))
    },
    pull(controller) {
      controller.error(new Error('gone'))
    },
  })
  await expect(readBody({ declaredLength: '20', stream: broken }, 100, inFlight)).rejects.toMatchObject({
    code: 'malformed',
  })
  expect(inFlight.bytes).toBe(0)
})

test('Retry-After is spread over ten seconds', () => {
  expect([0, 0.5, 0.999].map(at => spreadRetryAfterS(() => at))).toEqual([1, 6, 10])
})

test('a nonce is taken once, by each agent for itself, until its signature has aged', () => {
  const nonces = new Nonces()
  const nonce = 'A'.repeat(22)
  nonces.use('ag-1', nonce, 0)
  nonces.use('ag-2', nonce, 0)
  expect(() => nonces.use('ag-1', nonce, 2 * maxClockSkewS * 1000 - 1)).toThrow(/used before/)
  nonces.use('ag-1', nonce, 2 * maxClockSkewS * 1000)
  expect(() => nonces.use('ag-1', 'short', 0)).toThrow(/16 bytes/)
})

test('nonces are bounded: the oldest is forgotten first', () => {
  const nonces = new Nonces(2)
  const [a, b, c] = ['A', 'B', 'C'].map(letter => letter.repeat(22)) as [string, string, string]
  for (const nonce of [a, b, c]) nonces.use('ag-1', nonce, 0)
  expect(() => nonces.use('ag-1', c, 0)).toThrow()
  expect(() => nonces.use('ag-1', a, 0)).not.toThrow()
})

test('identities remembered are bounded, and a repeat gets the first verdict', async () => {
  await using database = await testDatabase()
  const recent = new RecentBatches(database.pool, { capacity: 2 })
  const identity = (seq: number) => ({ agentId: 'ag', agentNo: 1, epoch: 1, seq })
  const [digest, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const verdict = new Map([[0, 'future' as const]])
  for (const seq of [1, 2, 3]) recent.remember(identity(seq), { digest, verdict })
  expect(await recent.recall(identity(3), digest, 1)).toBe(verdict)
  await expect(recent.recall(identity(3), other, 1)).rejects.toMatchObject({ code: 'unavailable' })
  expect(await recent.recall(identity(1), other, 1)).toBeNull()
})

test('an agent’s series are bounded, what the database knows is admitted, and forgotten agents are read again', async () => {
  await using database = await testDatabase()
  const { rows } = await database.pool.query<{ agent_no: number }>(
    `insert into agent (agent_id, site, name) values ('ag-1', 's', 'n'), ('ag-2', 's', 'n') returning agent_no`,
  )
  const [one, two] = rows.map(row => row.agent_no) as [number, number]
  await database.pool.query(`insert into series (agent_no, device, metric) values ($1, 'known', 'm')`, [one])
  const budgets = new SeriesBudgets(database.pool, 2, 3)
  const budget = await budgets.of(one)
  expect(['known', 'new', 'beyond', 'new', 'known'].map(device => budget.admit(device, 'm'))).toEqual([
    true,
    true,
    false,
    true,
    true,
  ])
  const other = await budgets.of(two)
  expect([other.admit('a', 'm'), other.admit('b', 'm')]).toEqual([true, true])
  // Four names are one too many over all: the first agent was forgotten, and the database knows one of its series.
  expect((await budgets.of(one)).admit('beyond', 'm')).toBe(true)
})
