/**
 * Ingest: a batch request in, a durable log record and an answer out.
 *
 * Guarantees
 * - The answer leaves after `append` resolved: a reading that it does not reject survives a crash of hub and log.
 * - A batch is judged once: a repeat seen within memory gets the first verdict, and what the log holds is the verdict of its first
 *   append either way, because the store takes an identity once.
 * - A batch whose identity the hub has with other contents is refused with 409, or, when only the store can tell, named in later answers.
 * - Bounded: body, bytes in flight, series per agent, and every cache. What does not fit is answered 503 with a spread Retry-After.
 * - A failed append is answered 503, and may still have happened: the agent sends the same bytes again, the store removes them.
 *
 * The lane is a claim: a batch counts as live only when its newest reading is younger than `liveWithinMs`.
 */
import type { Batch } from '@tributary/shared/batch/batch'
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import {
  type BatchAnswer,
  batchLimits,
  fields,
  type HelloAnswer,
  type Lane,
  maxHelloEpochs,
  type RejectReason,
} from '@tributary/shared/protocol'
import type { AgentDirectory, AgentStanding } from '../devices/agent-directory.ts'
import { encodeEnvelope } from '../log/envelope.ts'
import { type EventLog, topics } from '../log/event-log.ts'
import type { InFlight } from './in-flight.ts'
import { judgeBatch, ruleVersion, type Verdict } from './judge.ts'
import type { Nonces } from './nonces.ts'
import { type BatchRequest, batchMediaType, type OpenedBatch, openBatch, verifyAgent } from './open-batch.ts'
import type { OpenRecalls } from './open-recalls.ts'
import { type BodySource, readBody } from './read-body.ts'
import type { BatchIdentity, RecentBatches } from './recent-batches.ts'
import { spreadRetryAfterS } from './retry-after.ts'
import type { SeriesBudgets } from './series-budgets.ts'
import type { SettledFloors } from './settled-floors.ts'
import type { UntoldConflicts } from './untold-conflicts.ts'

/** A batch is live when its newest reading is younger than this, ms. */
const liveWithinMs = 60_000

/** A request whose body is still to be read. */
export interface IncomingRequest extends Omit<BatchRequest, 'body'> {
  readonly body: BodySource['stream']
}

export interface IngestParts {
  readonly log: EventLog
  readonly agents: AgentDirectory
  readonly budgets: SeriesBudgets
  readonly recent: RecentBatches
  readonly settled: SettledFloors
  readonly recalls: OpenRecalls
  readonly untold: UntoldConflicts
  /** A batch is refused because its identity has other contents here. Awaited before the answer. */
  readonly onConflict: (identity: BatchIdentity, digest: Uint8Array, readings: number) => Promise<void>
  readonly nonces: Nonces
  readonly inFlight: InFlight
  /** Backlog batches that one agent may have in flight when the hub is idle. */
  readonly maxCredits: number
  /** Throws `storage-full` when there is no room to store. */
  readonly checkRoom?: () => Promise<void>
  /** Wait for the log this long before 503, ms. */
  readonly appendTimeoutMs: number
  /** Sabotage for the proofs: answer before the append is durable. Never set in service. */
  readonly ackBeforeCommit?: boolean
  readonly now?: () => number
}

/** Cumulative since start. */
export interface IngestCounts {
  batches: number
  repeats: number
  conflicts: number
  readings: number
  bytes: number
  readonly rejected: Map<RejectReason, number>
}

export class Ingest {
  readonly counts: IngestCounts = { batches: 0, repeats: 0, conflicts: 0, readings: 0, bytes: 0, rejected: new Map() }
  readonly #parts: IngestParts
  readonly #now: () => number

  constructor(parts: IngestParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  get inFlightBytes(): number {
    return this.#parts.inFlight.bytes
  }

  /** POST /v1/batches. */
  async take(request: IncomingRequest): Promise<BatchAnswer> {
    batchMediaType(request.headers)
    await this.#parts.checkRoom?.()
    const agent = await this.#findAgent(request)
    const { inFlight } = this.#parts
    const declared = request.headers['content-length']
    const source = { declaredLength: typeof declared === 'string' ? declared : undefined, stream: request.body }
    const body = await readBody(source, batchLimits.bodyBytes, inFlight)
    try {
      const opened = openBatch({ ...request, body }, agent, this.#now())
      return await this.#keep(agent, opened)
    } finally {
      inFlight.release(body.length)
    }
  }

  /** GET /v1/hello. */
  async hello(request: IncomingRequest): Promise<HelloAnswer> {
    const agent = await this.#findAgent(request)
    const nowMs = this.#now()
    const nonce = request.headers[fields.nonce]
    if (verifyAgent({ ...request, body: new Uint8Array() }, agent, nowMs) !== 'nonce' || typeof nonce !== 'string') {
      throw new TributaryError('unauthenticated', `this request needs a signed ${fields.nonce}`)
    }
    this.#parts.nonces.use(agent.agentId, nonce, nowMs)
    const settled = epochsOf(request.path).map(async epoch => {
      const stored = await this.#parts.settled.of(agent.agentNo, epoch)
      return { epoch, settled: stored.settled }
    })
    return { hubTimeMs: nowMs, agentId: agent.agentId, site: agent.site, settled: await Promise.all(settled) }
  }

  async #findAgent(request: IncomingRequest): Promise<AgentStanding> {
    const agentId = request.headers[fields.agent]
    if (typeof agentId !== 'string' || !/^ag-[a-z2-7]{20}$/.test(agentId)) {
      throw new TributaryError('unauthenticated', `this request needs the signed header ${fields.agent}`)
    }
    const agent = await this.#parts.agents.find(agentId)
    if (agent === null) {
      throw new TributaryError('agent-unknown', `no agent ${agentId} is enrolled here`, {
        hint: 'Enrol the gateway with a token',
      })
    }
    return agent
  }

  async #keep(agent: AgentStanding, opened: OpenedBatch): Promise<BatchAnswer> {
    const { epoch, seq } = opened.batch.header
    const identity = { agentId: agent.agentId, agentNo: agent.agentNo, epoch, seq }
    const [budget, stored, conflicts] = await Promise.all([
      this.#parts.budgets.of(agent.agentNo),
      this.#parts.settled.of(agent.agentNo, epoch),
      this.#parts.untold.of(agent.agentNo),
    ])
    const receivedAtMs = this.#now()
    const before = await this.#recall(identity, opened, stored.settled)
    const verdict = before ?? judgeBatch(opened.batch, receivedAtMs, budget)
    const record = encodeEnvelope({
      receivedAtMs,
      agentNo: agent.agentNo,
      lane: laneOf(opened, receivedAtMs),
      floor: opened.floor,
      ruleVersion,
      rejected: verdict,
      digest: opened.digest,
      batch: opened.bytes,
    })
    const durable = this.#append(agent.agentId, record)
    // The append outlives a sabotaged answer; its failure then goes unseen, which is the sabotage.
    if (this.#parts.ackBeforeCommit === true) durable.catch(() => undefined)
    else await durable
    if (before === null) this.#parts.recent.remember(identity, { digest: opened.digest, verdict })
    this.#count(opened, verdict, before !== null)
    const recalls = await this.#parts.recalls.of(agent.agentNo)
    return this.#answer(opened.batch, verdict, { ...stored, conflicts, recalls })
  }

  async #recall(identity: BatchIdentity, { batch, digest }: OpenedBatch, settled: number): Promise<Verdict | null> {
    try {
      return await this.#parts.recent.recall(identity, digest, settled)
    } catch (error) {
      if (isTributaryError(error, 'conflict')) {
        this.counts.conflicts++
        await this.#parts.onConflict(identity, digest, countReadings(batch))
      }
      throw error
    }
  }

  async #append(key: string, record: Uint8Array): Promise<void> {
    const { log, appendTimeoutMs } = this.#parts
    const timeout = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => timeout.reject(new TributaryError('unavailable', `the event log did not answer for ${appendTimeoutMs} ms`)),
      appendTimeoutMs,
    )
    try {
      await Promise.race([log.append(topics.batches, key, record), timeout.promise])
    } catch (cause) {
      const retryable = !(cause instanceof TributaryError) || cause.retryable
      if (!retryable) throw cause
      const message = cause instanceof TributaryError ? cause.message : 'the event log is not available'
      throw new TributaryError('unavailable', message, { cause, retryAfterS: spreadRetryAfterS() })
    } finally {
      clearTimeout(timer)
    }
  }

  #answer(
    batch: Batch,
    verdict: Verdict,
    standing: Pick<BatchAnswer, 'settled' | 'reached' | 'conflicts' | 'recalls'>,
  ): BatchAnswer {
    const rejected = Array.from(verdict, ([index, reason]) => ({ index, reason }))
    return {
      accepted: countReadings(batch) + countAggregates(batch) - rejected.length,
      rejected,
      ...standing,
      desiredConfigVersion: 0,
      credits: this.#credits(),
    }
  }

  /** Fewer as the hub fills up, never none: one batch must be able to bring the next answer. */
  #credits(): number {
    return Math.max(1, Math.floor(this.#parts.maxCredits * (1 - this.#parts.inFlight.share)))
  }

  #count(opened: OpenedBatch, verdict: Verdict, repeat: boolean): void {
    this.counts.batches++
    this.counts.bytes += opened.bytes.length
    if (repeat) {
      this.counts.repeats++
      return
    }
    this.counts.readings += countReadings(opened.batch)
    for (const reason of verdict.values()) this.counts.rejected.set(reason, (this.counts.rejected.get(reason) ?? 0) + 1)
  }
}

/** Those of `?epochs=`. Throws `malformed`. */
function epochsOf(path: string): number[] {
  const text = new URL(path, 'http://hub').searchParams.get('epochs')
  if (text === null) return []
  const epochs = text.split(',')
  if (epochs.length <= maxHelloEpochs && epochs.every(epoch => /^\d{1,15}$/.test(epoch))) return epochs.map(Number)
  throw new TributaryError('malformed', `epochs: not at most ${maxHelloEpochs} whole numbers, as 1,2,3 (in the query)`)
}

function countReadings(batch: Batch): number {
  let readings = 0
  for (const { tsUs } of batch.columns) readings += tsUs.length
  return readings
}

function countAggregates(batch: Batch): number {
  return batch.aggregates.reduce((sum, { data }) => sum + data.length, 0)
}

/** The lane that the newest reading, or the newest end of a window, bears out. */
function laneOf(opened: OpenedBatch, nowMs: number): Lane {
  if (opened.lane === 'backlog') return 'backlog'
  const sinceUs = (nowMs - liveWithinMs) * 1000
  // The last reading of a series is its newest nearly always; all are looked at before a claim is denied.
  const isLive = opened.batch.columns.some(({ tsUs }) => (tsUs.at(-1) ?? 0) > sinceUs || tsUs.some(ts => ts > sinceUs))
  const isLiveToo = () =>
    opened.batch.aggregates.some(({ startUs, sizeUs }) => startUs.some(start => start + sizeUs > sinceUs))
  return isLive || isLiveToo() ? 'live' : 'backlog'
}
