/**
 * Applies an `Effect` to the records of the event log, each batch once.
 *
 * In one transaction: move the position row (only its owner may, and only from the offset it expects: a zombie writes nothing),
 * leave out batches whose identity is recorded, apply the rest, record identities, digests and the loss ledger.
 * A record is left out only because its identity is recorded, never because of its offset: a log that repeats, was replaced or
 * restored does no harm. A record that cannot be applied is found by trial, goes to the dead letters, and the rest goes on.
 *
 * Modes of a partition: unowned → (assigned) owned → (a rejection, a new assignment) unowned …; the log asks `assigned` again after
 * every rejection, which takes the position over with a new owner token.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Batch } from '@tributary/shared/batch/batch'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import pg from 'pg'
import type { Database } from '../database/database.ts'
import { isRetryableDatabaseError } from '../database/database-error.ts'
import { type Conflict, recordConflicts } from './conflicts.ts'
import { type DeadLetter, writeDeadLetter } from './dead-letters.ts'
import { DigestTables } from './digest-tables.ts'
import type { Effect, JudgedBatch } from './effect.ts'
import { decodeEnvelope, type Envelope } from './envelope.ts'
import { type EventLog, type LogConsumer, type LogRecord, type Topic, topics } from './event-log.ts'
import {
  type Arrival,
  findDigests,
  type Identity,
  lockIdentities,
  recordArrivals,
  recordDigests,
  recordLosses,
} from './identities.ts'
import { findPoison } from './poison.ts'
import { movePosition, type Position, rewindPosition, takePosition } from './position.ts'

/**
 * What happened, counted. `duplicates` were left out by identity, `conflicts` had another digest, `poisoned` could not be applied;
 * `lost` are readings that agents report as lost.
 */
export interface EffectCounts {
  readonly records: number
  readonly batches: number
  readonly readings: number
  readonly duplicates: number
  readonly conflicts: number
  readonly poisoned: number
  readonly lost: number
}

/**
 * Breaks a promise on purpose, for the proofs. `no-identity-check`: what is recorded is applied again. `offset-only-skip`: repeats
 * are recognised by offset alone, as a plain consumer would. `no-conflict-check`: other contents are taken for a repeat.
 */
export const sabotages = ['no-identity-check', 'offset-only-skip', 'no-conflict-check'] as const
export type Sabotage = (typeof sabotages)[number]

export interface RunEffectOptions {
  readonly log: EventLog
  readonly database: Database
  readonly effect: Effect
  readonly signal: AbortSignal
  readonly topic?: Topic
  /** Records a transaction. Default 100. */
  readonly maxRecords?: number
  /** Keep digests and the loss ledger, of which one consumer is enough. Default: the group is `store`. */
  readonly keepLedger?: boolean
  /** Called after each commit. */
  readonly onApplied?: (counts: EffectCounts) => void
  /** Called after the commit that recorded it first. */
  readonly onConflict?: (conflict: Conflict) => void
  /** The log was not as it was left (another log, a restored one): read again from its start. */
  readonly onRewind?: (partition: number) => void
  readonly sabotage?: Sabotage | undefined
}

/** Runs until the signal aborts. Rejects with `corrupt` when the log no longer holds what this consumer has not seen. */
export async function runEffect(options: RunEffectOptions): Promise<void> {
  const topic = options.topic ?? topics.batches
  const consumer = new EffectConsumer(options, topic)
  await options.log.consume(topic, consumer, {
    group: options.effect.group,
    maxRecords: options.maxRecords ?? 100,
    signal: options.signal,
  })
}

/** A record made out, or why it cannot be. */
type Opened =
  | { readonly kind: 'batch'; readonly record: LogRecord; readonly judged: JudgedBatch }
  | {
      readonly kind: 'unreadable'
      readonly record: LogRecord
      readonly envelope: Envelope | null
      readonly error: unknown
    }

interface Applied {
  readonly fresh: JudgedBatch[]
  readonly counts: EffectCounts
  /** Those recorded here first. */
  readonly conflicts: readonly Conflict[]
}

interface Owned {
  readonly token: string
  expected: bigint
}

class EffectConsumer implements LogConsumer {
  private readonly options: RunEffectOptions
  private readonly topic: Topic
  private readonly owned = new Map<number, Owned>()
  /** Partitions to be read again from the log's start, and how far they had been read. */
  private readonly rewound = new Map<number, bigint>()
  private readonly keepLedger: boolean
  private readonly digestTables: DigestTables | null
  /** Agents never go away, so that one seen is one known. */
  private readonly agents = new Set<number>()

  constructor(options: RunEffectOptions, topic: Topic) {
    this.options = options
    this.topic = topic
    this.keepLedger = options.keepLedger ?? options.effect.group === 'store'
    this.digestTables = this.keepLedger ? new DigestTables(options.database) : null
  }

  async assigned(partition: number): Promise<bigint> {
    const { database, effect, log, sabotage } = this.options
    const token = randomUUID()
    this.owned.delete(partition)
    await effect.rolledBack?.(partition)
    await this.digestTables?.makeAhead()
    const { nextOffset, lastRecord } = await takePosition(database, this.positionOf(partition), token)
    await effect.assigned?.(partition)
    if (nextOffset > 0n && lastRecord !== null && sabotage !== 'offset-only-skip') {
      const again = await log.read(this.topic, partition, nextOffset - 1n)
      if (again === null || !identityOf(again).equals(lastRecord)) {
        this.rewound.set(partition, nextOffset)
        this.options.onRewind?.(partition)
        await rewindPosition(database, this.positionOf(partition), token, 0n)
        this.owned.set(partition, { token, expected: 0n })
        return 0n
      }
    }
    if (lastRecord === null) this.rewound.set(partition, nextOffset) // nothing was consumed: the log's start is as good as 0
    this.owned.set(partition, { token, expected: nextOffset })
    return sabotage === 'offset-only-skip' ? 0n : nextOffset
  }

  async truncated(partition: number, wanted: bigint, firstOffset: bigint): Promise<bigint> {
    const reached = this.rewound.get(partition)
    const owned = this.owned.get(partition)
    // Reading again from the start: what is missing there had been consumed, as long as it ends before the old position.
    const fresh = reached === 0n
    if (owned !== undefined && reached !== undefined && (fresh || firstOffset <= reached)) {
      await rewindPosition(this.options.database, this.positionOf(partition), owned.token, firstOffset)
      owned.expected = firstOffset
      return firstOffset
    }
    throw new TributaryError(
      'corrupt',
      `${this.options.effect.group} needs offset ${wanted} of ${this.topic}/${partition}, the log begins at ${firstOffset}`,
      {
        hint:
          'batches between the two are missing here; agents that still keep them send them again once they see `settled`. ' +
          `To go on: update consumer_position set next_offset = ${firstOffset}, last_record = null ` +
          `where consumer = '${this.options.effect.group}' and partition = ${partition}`,
      },
    )
  }

  async handle(partition: number, records: readonly LogRecord[]): Promise<void> {
    const { effect } = this.options
    const owned = this.owned.get(partition)
    const last = records.at(-1)
    if (owned === undefined || last === undefined)
      throw new TributaryError('unavailable', `partition ${partition} is not assigned`)
    await this.digestTables?.makeAhead()
    const opened = records.map(open)
    try {
      await this.commitKeepingOrder(partition, owned, opened)
    } catch (error) {
      await effect.rolledBack?.(partition)
      throw error
    }
  }

  /** All at once; when something in it cannot be applied, without what was found; when nothing alone is to blame, one by one. */
  private async commitKeepingOrder(partition: number, owned: Owned, opened: readonly Opened[]): Promise<void> {
    let failure: unknown
    try {
      await this.commit(partition, owned, opened, new Map())
      return
    } catch (error) {
      if (isOfTheMachine(error)) throw error
      failure = error
    }
    await this.options.effect.rolledBack?.(partition)
    const poison = await findPoison(opened, failure, records => this.tryOut(partition, records))
    if (poison.size > 0) {
      await this.commit(partition, owned, opened, poison)
      return
    }
    for (const one of opened) await this.commitKeepingOrder(partition, owned, [one])
  }

  /** Whether these can be applied, without keeping anything: null, or the error of the data. */
  private async tryOut(partition: number, opened: readonly Opened[]): Promise<unknown> {
    const { database, effect } = this.options
    try {
      await database.transaction(async tx => {
        await this.apply(tx, opened, new Map())
        throw new TriedOut()
      })
    } catch (error) {
      if (error instanceof TriedOut) return null
      if (isOfTheMachine(error)) throw error
      return error
    } finally {
      await effect.rolledBack?.(partition)
    }
    return null
  }

  private async commit(
    partition: number,
    owned: Owned,
    opened: readonly Opened[],
    poison: ReadonlyMap<Opened, unknown>,
  ): Promise<void> {
    const { database, effect } = this.options
    const last = opened.at(-1)
    if (last === undefined) return
    const to = { nextOffset: last.record.offset + 1n, lastRecord: identityOf(last.record) }
    const { fresh, counts, conflicts } = await database.transaction(async tx => {
      await this.move(tx, partition, owned, to)
      return await this.apply(tx, opened, poison)
    })
    if (to.nextOffset > owned.expected) owned.expected = to.nextOffset
    this.rewound.delete(partition)
    effect.committed?.(fresh)
    this.options.onApplied?.(counts)
    for (const conflict of conflicts) this.options.onConflict?.(conflict)
  }

  private async move(
    tx: pg.PoolClient,
    partition: number,
    owned: Owned,
    to: { nextOffset: bigint; lastRecord: Buffer },
  ): Promise<void> {
    if (this.options.sabotage === 'offset-only-skip' && to.nextOffset <= owned.expected) return
    if (await movePosition(tx, this.positionOf(partition), owned.token, owned.expected, to)) return
    this.owned.delete(partition)
    throw new TributaryError('unavailable', `${this.options.effect.group} no longer owns ${this.topic}/${partition}`)
  }

  /** Inside the transaction: sort out, apply, record. */
  private async apply(
    tx: pg.PoolClient,
    opened: readonly Opened[],
    poison: ReadonlyMap<Opened, unknown>,
  ): Promise<Applied> {
    const { effect, sabotage } = this.options
    const letters: DeadLetter[] = []
    const good: JudgedBatch[] = []
    for (const one of opened) {
      const error = poison.get(one)
      if (one.kind === 'batch' && error === undefined) good.push(one.judged)
      else letters.push(poisonLetter(effect.group, one, error))
    }
    const { fresh, repeated } = await this.sortOut(tx, good, opened)
    const others = this.keepLedger && sabotage === undefined ? await findOthers(tx, repeated) : []
    if (fresh.length > 0) await effect.apply(tx, fresh)
    // What was poisoned counts as taken: its bytes are in the dead letters.
    const poisoned = opened
      .filter(one => one.kind === 'batch' && poison.has(one))
      .flatMap(one => (one.kind === 'batch' ? [one.judged] : []))
    if (poisoned.length > 0) await effect.leftOut?.(tx, poisoned)
    await recordArrivals(tx, effect.group, [
      ...[...fresh, ...poisoned].map(judged => arrival(judged, true)),
      ...repeated.map(({ judged }) => arrival(judged, false)),
    ])
    if (this.keepLedger)
      await recordDigests(
        tx,
        [...fresh, ...poisoned].map(judged => ({ ...identity(judged), digest: judged.envelope.digest })),
      )
    const losses = fresh.flatMap(({ envelope, batch }) =>
      batch.header.losses.map(loss => ({ agentNo: envelope.agentNo, loss })),
    )
    const lost = await recordLosses(tx, effect.group, losses, this.keepLedger)
    const conflicting = others.filter(({ stored }) => stored !== null)
    const conflicts = await recordConflicts(
      tx,
      'store',
      conflicting.map(({ judged }) => conflictOf(judged)),
    )
    for (const letter of [...letters, ...others.map(other => otherLetter(effect.group, other))])
      await writeDeadLetter(tx, letter)
    const readings = fresh.reduce((sum, { batch }) => sum + countReadings(batch), 0)
    const counts = {
      records: opened.length,
      batches: fresh.length,
      readings,
      duplicates: repeated.length - conflicting.length,
      conflicts: conflicting.length,
      poisoned: letters.length,
      lost,
    }
    return { fresh, counts, conflicts }
  }

  /** Which batches are new, and which have an identity that is recorded, or that came earlier in these records. */
  private async sortOut(
    tx: pg.PoolClient,
    good: readonly JudgedBatch[],
    opened: readonly Opened[],
  ): Promise<{ fresh: JudgedBatch[]; repeated: { judged: JudgedBatch; first: JudgedBatch | null }[] }> {
    const { effect, sabotage } = this.options
    const all = opened.flatMap(one => (one.kind === 'batch' ? [identity(one.judged)] : []))
    const known = all.length > 0 ? await lockIdentities(tx, effect.group, await this.knownAgents(tx, all)) : () => false
    if (sabotage === 'no-identity-check') return { fresh: [...good], repeated: [] }
    if (sabotage === 'offset-only-skip') {
      const fresh = good.filter(({ partition, offset }) => offset >= (this.owned.get(partition)?.expected ?? 0n))
      return { fresh, repeated: [] }
    }
    const seen = new Map<string, JudgedBatch>()
    const fresh: JudgedBatch[] = []
    const repeated: { judged: JudgedBatch; first: JudgedBatch | null }[] = []
    for (const judged of good) {
      const { agentNo, epoch, seq } = identity(judged)
      const key = `${agentNo}/${epoch}/${seq}`
      const first = seen.get(key) ?? null
      if (first !== null || known(identity(judged))) repeated.push({ judged, first })
      else {
        seen.set(key, judged)
        fresh.push(judged)
      }
    }
    return { fresh, repeated }
  }

  /** Rows of `received` refer to their agent: a record that names an unknown one must not stop the others. */
  private async knownAgents(tx: pg.PoolClient, identities: readonly Identity[]): Promise<Identity[]> {
    const unknown = identities.map(({ agentNo }) => agentNo).filter(agentNo => !this.agents.has(agentNo))
    if (unknown.length > 0) {
      const { rows } = await tx.query<{ agent_no: number }>(
        'select agent_no from agent where agent_no = any($1::int8[])',
        [unknown],
      )
      for (const { agent_no } of rows) this.agents.add(agent_no)
    }
    return identities.filter(({ agentNo }) => this.agents.has(agentNo))
  }

  private positionOf(partition: number): Position {
    return { consumer: this.options.effect.group, topic: this.topic, partition }
  }
}

class TriedOut extends Error {}

/** SQLSTATE classes that blame the data: cardinality, data exception, integrity, limit exceeded, not supported, raised. */
const dataStates = ['21', '22', '23', '54', '0A', 'P0']

/** Whether to try everything again rather than look for the record to blame. What the effect itself throws blames the record. */
function isOfTheMachine(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return !dataStates.some(state => error.code?.startsWith(state) === true)
  return isRetryableDatabaseError(error) || isTributaryError(error, 'aborted')
}

function open(record: LogRecord): Opened {
  let envelope: Envelope | null = null
  try {
    envelope = decodeEnvelope(record.bytes)
    const batch = decodeBatch(envelope.batch)
    return { kind: 'batch', record, judged: { partition: record.partition, offset: record.offset, envelope, batch } }
  } catch (error) {
    return { kind: 'unreadable', record, envelope, error }
  }
}

function identity({ envelope, batch }: JudgedBatch): Identity {
  return { agentNo: envelope.agentNo, epoch: batch.header.epoch, seq: batch.header.seq }
}

function arrival(judged: JudgedBatch, fresh: boolean): Arrival {
  return { ...identity(judged), fresh, readings: countReadings(judged.batch), floor: judged.envelope.floor }
}

function identityOf(record: LogRecord): Buffer {
  return createHash('sha256').update(record.key).update(record.bytes).digest()
}

function countReadings(batch: Batch): number {
  return batch.columns.reduce((sum, { tsUs }) => sum + tsUs.length, 0)
}

function poisonLetter(group: string, one: Opened, error: unknown): DeadLetter {
  const place = `${one.record.partition}/${one.record.offset}`
  if (one.kind === 'unreadable') {
    return {
      agentNo: one.envelope?.agentNo ?? null,
      stage: group,
      reason: `unreadable record ${place}`,
      epoch: null,
      seq: null,
      readings: 0,
      detail: { error: messageOf(one.error), record: place },
      bytes: one.record.bytes,
    }
  }
  return {
    ...identity(one.judged),
    stage: group,
    reason: 'poison',
    readings: countReadings(one.judged.batch),
    detail: { error: messageOf(error), record: place },
    bytes: one.judged.envelope.batch,
  }
}

/** A batch that is left out by its identity, and is not known to be the one that was taken. */
interface Other {
  readonly judged: JudgedBatch
  /** Digest of the one that was taken; null when it is no longer kept. */
  readonly stored: Uint8Array | null
}

/** Repeats whose digest is not the one recorded, or whose digest is not kept any more. */
async function findOthers(
  tx: pg.PoolClient,
  repeated: readonly { judged: JudgedBatch; first: JudgedBatch | null }[],
): Promise<Other[]> {
  const recorded = await findDigests(
    tx,
    repeated.map(({ judged }) => identity(judged)),
  )
  return repeated.flatMap(({ judged, first }, index) => {
    const stored = first?.envelope.digest ?? recorded[index] ?? null
    return stored !== null && Buffer.from(stored).equals(judged.envelope.digest) ? [] : [{ judged, stored }]
  })
}

function conflictOf(judged: JudgedBatch): Conflict {
  return { ...identity(judged), digest: judged.envelope.digest, readings: countReadings(judged.batch) }
}

/** `conflict`: another batch under the same identity. `old-repeat`: the same or another one, nobody can tell any more. */
function otherLetter(group: string, { judged, stored }: Other): DeadLetter {
  return {
    ...identity(judged),
    stage: group,
    reason: stored === null ? 'old-repeat' : 'conflict',
    readings: countReadings(judged.batch),
    detail: {
      stored: stored && Buffer.from(stored).toString('hex'),
      received: Buffer.from(judged.envelope.digest).toString('hex'),
      record: `${judged.partition}/${judged.offset}`,
    },
    bytes: judged.envelope.batch,
  }
}
