/**
 * The promises of exactly-once.ts, run over every log: `exactlyOnceSuite('postgres', open)`. `open` gets the test's own database.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { PoolClient } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import type { Effect, JudgedBatch } from './effect.ts'
import { until } from './event-log.suite.ts'
import { type EventLog, topics } from './event-log.ts'
import { type EffectCounts, type RunEffectOptions, runEffect } from './exactly-once.ts'
import { appendBatch, column, makeAgents } from './test-batches.ts'

/** A log of one partition, empty at first. */
export interface EffectLogUnderTest extends AsyncDisposable {
  readonly log: EventLog
  /** As if the log had been made anew under the same name. */
  lose(): Promise<void>
  /** Forget the records below `offset`. */
  truncate(offset: bigint): Promise<void>
}

/** Writes a row a batch. `before` may throw. */
class Applying implements Effect {
  readonly group = 'store'
  calls = 0
  rollbacks = 0
  /** Seqs that were taken without being applied. */
  readonly skipped: number[] = []
  before: (batches: readonly JudgedBatch[], tx: PoolClient) => Promise<void> = async () => undefined
  assigned?: () => Promise<void>

  async apply(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
    this.calls++
    for (const { envelope, batch } of batches) {
      await tx.query('insert into applied (agent_no, epoch, seq) values ($1, $2, $3)', [
        envelope.agentNo,
        batch.header.epoch,
        batch.header.seq,
      ])
    }
    await this.before(batches, tx)
  }

  async leftOut(tx: PoolClient, batches: readonly JudgedBatch[]): Promise<void> {
    await tx.query('select 1')
    this.skipped.push(...batches.map(({ batch }) => batch.header.seq))
  }

  async rolledBack(): Promise<void> {
    this.rollbacks++
  }
}

export function exactlyOnceSuite(name: string, open: (database: Database) => Promise<EffectLogUnderTest>): void {
  let database: Database
  let under: EffectLogUnderTest
  let log: EventLog

  function running(effect: Effect, options: Partial<RunEffectOptions> = {}) {
    const controller = new AbortController()
    const counts: EffectCounts[] = []
    const done = runEffect({
      log,
      database,
      effect,
      signal: controller.signal,
      onApplied: count => counts.push(count),
      ...options,
    })
    done.catch(() => undefined)
    const total = (name: keyof EffectCounts) => counts.reduce((sum, count) => sum + count[name], 0)
    const stop = () => {
      controller.abort()
      return done
    }
    return { done, total, stop }
  }

  /** Every consumer's stored position is the log's end. */
  async function caughtUp(): Promise<boolean> {
    const { rows } = await database.pool.query<{ next: string }>(
      'select next_offset::text as next from consumer_position',
    )
    const [{ endOffset } = { endOffset: 0n }] = await log.lag(topics.batches, 'nobody')
    return endOffset === 0n || (rows.length > 0 && rows.every(({ next }) => BigInt(next) === endOffset))
  }

  async function applied(): Promise<string[]> {
    const { rows } = await database.pool.query<{ id: string }>(
      `select agent_no || '/' || epoch || '/' || seq as id from applied order by n`,
    )
    return rows.map(({ id }) => id)
  }

  const letters = async () =>
    (await database.pool.query('select stage, reason, agent_no, epoch, seq, readings from dead_letter order by 2, 5'))
      .rows

  describe(`exactly once, from the log in ${name}`, () => {
    beforeEach(async () => {
      database = await testDatabase({ connections: 8 })
      await database.pool.query('create table applied (n bigserial, agent_no int, epoch int8, seq int8)')
      await makeAgents(database, 3)
      under = await open(database)
      log = under.log
    })
    afterEach(async () => {
      await under[Symbol.asyncDispose]()
      await database.close()
    })

    describe('repeats', () => {
      test('a batch appended twice is applied once, and counted as a duplicate', async () => {
        for (const seq of [1, 2, 1, 3, 2, 2]) await appendBatch(log, { agentNo: 1, seq })
        const run = running(new Applying(), { maxRecords: 4 })
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/1', '1/1/2', '1/1/3'])
        expect([run.total('batches'), run.total('duplicates'), run.total('conflicts')]).toEqual([3, 3, 0])
      })

      test('equal seqs of other agents or epochs are other batches', async () => {
        await appendBatch(log, { agentNo: 1, seq: 1, epoch: 1 })
        await appendBatch(log, { agentNo: 1, seq: 1, epoch: 2 })
        await appendBatch(log, { agentNo: 2, seq: 1, epoch: 1 })
        const run = running(new Applying())
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/1', '1/2/1', '2/1/1'])
      })

      for (const sabotage of ['no-identity-check', 'offset-only-skip'] as const) {
        test(`with ${sabotage} the same batch is applied twice: the proof sees the difference`, async () => {
          for (const seq of [1, 2, 1]) await appendBatch(log, { agentNo: 1, seq })
          const run = running(new Applying(), { sabotage, maxRecords: 1 })
          await until(caughtUp)
          await run.stop()
          expect(await applied()).toEqual(['1/1/1', '1/1/2', '1/1/1'])
        })
      }

      test('the same identity with other contents is kept as a conflict, once, and not applied', async () => {
        const other = [column('temp', [1_700_000_000_000_000], [99])]
        await appendBatch(log, { agentNo: 1, seq: 1 })
        const run = running(new Applying())
        await until(caughtUp)
        await appendBatch(log, { agentNo: 1, seq: 1, columns: other })
        await appendBatch(log, { agentNo: 1, seq: 1, columns: other })
        await appendBatch(log, { agentNo: 1, seq: 2 })
        await appendBatch(log, { agentNo: 1, seq: 2, columns: other })
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/1', '1/1/2'])
        expect(run.total('conflicts')).toBe(3)
        const letter = { stage: 'store', reason: 'conflict', agent_no: 1, epoch: 1, readings: 1 }
        expect(await letters()).toEqual([
          { ...letter, seq: 1 },
          { ...letter, seq: 2 },
        ])
      })
    })

    describe('failures', () => {
      test('a transaction that fails on the machine leaves nothing, and is tried again until it holds', async () => {
        for (const seq of [1, 2, 3]) await appendBatch(log, { agentNo: 1, seq })
        const effect = new Applying()
        let failures = 2
        effect.before = async () => {
          if (failures-- > 0) throw new TributaryError('unavailable', 'no disk')
        }
        const run = running(effect)
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/1', '1/1/2', '1/1/3'])
        expect(effect.rollbacks).toBeGreaterThanOrEqual(2)
        expect(await letters()).toEqual([])
      })

      test('a connection cut in the middle of a transaction costs nothing and doubles nothing', async () => {
        for (const seq of [1, 2, 3, 4]) await appendBatch(log, { agentNo: 1, seq })
        const effect = new Applying()
        let cuts = 2
        effect.before = async (_, tx) => {
          if (cuts-- > 0) await tx.query('select pg_terminate_backend(pg_backend_pid())')
        }
        const run = running(effect, { maxRecords: 2 })
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/1', '1/1/2', '1/1/3', '1/1/4'])
      })

      test('records that cannot be applied go to the dead letters, and all others are applied in order', async () => {
        for (let seq = 1; seq <= 20; seq++) await appendBatch(log, { agentNo: 1, seq })
        await log.append(topics.batches, 'ag-1', Buffer.from('not an envelope'))
        await appendBatch(log, { agentNo: 999, seq: 1 })
        await appendBatch(log, { agentNo: 1, seq: 21 })
        const effect = new Applying()
        effect.before = async (batches, tx) => {
          if (batches.some(({ batch }) => batch.header.seq === 7)) await tx.query('select 1 / 0')
          if (batches.some(({ batch }) => batch.header.seq === 13)) throw new Error('no place for 13')
          if (batches.some(({ envelope }) => envelope.agentNo === 999)) throw new Error('unknown agent')
        }
        const run = running(effect)
        await until(caughtUp)
        await run.stop()
        const expected = Array.from({ length: 21 }, (_, index) => `1/1/${index + 1}`).filter(
          id => id !== '1/1/7' && id !== '1/1/13',
        )
        expect(await applied()).toEqual(expected)
        expect(run.total('poisoned')).toBe(4)
        expect(effect.skipped.sort((a, b) => a - b)).toEqual([1, 7, 13])
        const letter = { stage: 'store', reason: 'poison', agent_no: 1, epoch: 1, readings: 1 }
        expect(await letters()).toEqual([
          { ...letter, agent_no: null, seq: 1 },
          { ...letter, seq: 7 },
          { ...letter, seq: 13 },
          { ...letter, reason: 'unreadable record 0/20', agent_no: null, epoch: null, seq: null, readings: 0 },
        ])
      })
    })

    describe('positions', () => {
      test('who lost the position while it was not looking writes nothing', async () => {
        await appendBatch(log, { agentNo: 1, seq: 1 })
        const effect = new Applying()
        let thefts = 1
        effect.assigned = async () => {
          if (thefts-- > 0) await database.pool.query(`update consumer_position set owner = gen_random_uuid()`)
        }
        const run = running(effect)
        await until(caughtUp)
        await run.stop()
        expect(effect.calls).toBe(1)
        expect(await applied()).toEqual(['1/1/1'])
      })

      test('an owner whose expected offset is not the stored one writes nothing', async () => {
        await appendBatch(log, { agentNo: 1, seq: 1 })
        await appendBatch(log, { agentNo: 1, seq: 2 })
        const effect = new Applying()
        let moves = 1
        effect.assigned = async () => {
          if (moves-- > 0) await database.pool.query('update consumer_position set next_offset = 1')
        }
        const run = running(effect)
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/2'])
      })

      test('a restart goes on where the last commit ended', async () => {
        for (const seq of [1, 2, 3]) await appendBatch(log, { agentNo: 1, seq })
        const first = running(new Applying())
        await until(caughtUp)
        await first.stop()
        await appendBatch(log, { agentNo: 1, seq: 4 })
        const effect = new Applying()
        const second = running(effect)
        await until(caughtUp)
        await second.stop()
        expect(effect.calls).toBe(1)
        expect(second.total('duplicates')).toBe(0)
        expect(await applied()).toEqual(['1/1/1', '1/1/2', '1/1/3', '1/1/4'])
      })

      const replaceLog = async (options: Partial<RunEffectOptions>) => {
        for (const seq of [1, 2, 3]) await appendBatch(log, { agentNo: 1, seq })
        const first = running(new Applying(), options)
        await until(caughtUp)
        await first.stop()
        await under.lose()
        for (const seq of [4, 2, 5, 6]) await appendBatch(log, { agentNo: 1, seq })
        const rewinds: number[] = []
        const second = running(new Applying(), { ...options, onRewind: partition => rewinds.push(partition) })
        await until(caughtUp)
        await second.stop()
        return { rewinds, ids: await applied() }
      }

      test('another log under the same name is read from its start, and identities remove the repeats', async () => {
        const { rewinds, ids } = await replaceLog({})
        expect(rewinds).toEqual([0])
        expect(ids).toEqual(['1/1/1', '1/1/2', '1/1/3', '1/1/4', '1/1/5', '1/1/6'])
      })

      test('with offset-only-skip another log loses what it holds at old offsets: the proof sees the difference', async () => {
        const { ids } = await replaceLog({ sabotage: 'offset-only-skip' })
        expect(ids).toEqual(['1/1/1', '1/1/2', '1/1/3', '1/1/6'])
      })

      test('a log that begins after the position stops the consumer loudly, with what to do', async () => {
        for (const seq of [1, 2, 3, 4, 5]) await appendBatch(log, { agentNo: 1, seq })
        const first = running(new Applying(), { maxRecords: 1 })
        await until(caughtUp)
        await first.stop()
        await database.pool.query(`update consumer_position set next_offset = 2, last_record = '\\x00'`)
        await under.truncate(4n)
        const second = running(new Applying())
        await expect(second.done).rejects.toMatchObject({
          code: 'corrupt',
          hint: expect.stringContaining('next_offset = 4'),
        })
      })

      test('a new consumer begins at the oldest record there is', async () => {
        for (const seq of [1, 2, 3]) await appendBatch(log, { agentNo: 1, seq })
        await under.truncate(1n)
        const run = running(new Applying())
        await until(caughtUp)
        await run.stop()
        expect(await applied()).toEqual(['1/1/2', '1/1/3'])
      })
    })

    test('reported losses are kept once, close the gap, and do not keep out a batch that turns up after all', async () => {
      const loss = { epoch: 1, fromSeq: 2, toSeq: 4, readings: 300, exact: true, reason: 'evicted' }
      const rowsOnly = { epoch: 1, fromSeq: 6, toSeq: 5, readings: 10, exact: false, reason: 'missing' }
      await appendBatch(log, { agentNo: 1, seq: 1 })
      await appendBatch(log, { agentNo: 1, seq: 5, losses: [loss, rowsOnly] })
      await appendBatch(log, { agentNo: 1, seq: 6, losses: [loss] })
      await appendBatch(log, { agentNo: 1, seq: 3 })
      const run = running(new Applying())
      await until(caughtUp)
      await run.stop()
      expect(await applied()).toEqual(['1/1/1', '1/1/5', '1/1/6', '1/1/3'])
      const { rows } = await database.pool.query(
        `select seqs::text, lost::text, (seqs + lost)::text as "all" from received`,
      )
      expect(rows).toEqual([{ seqs: '{[1,2),[3,4),[5,7)}', lost: '{[2,5)}', all: '{[1,7)}' }])
      const losses = await database.pool.query(
        'select from_seq, to_seq, readings, exact, reason from loss order by from_seq',
      )
      expect(losses.rows).toEqual([
        { from_seq: 2, to_seq: 4, readings: 300, exact: true, reason: 'evicted' },
        { from_seq: 6, to_seq: 5, readings: 10, exact: false, reason: 'missing' },
      ])
    })
  })
}
