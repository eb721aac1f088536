/**
 * The uplink drains the buffer to the hub, for as long as the agent runs.
 *
 * Guarantees
 * - After a start the batches that were sealed and not acknowledged go first, byte for byte as sealed; then new ones.
 * - A batch leaves the buffer's hands only by a 200 that reads as an answer; whatever else happens, it is kept and tried again. One whose
 *   identity the hub knows with other contents is sealed again under another epoch, once; also from its copy, when the hub tells later.
 * - Batches go one after another, in order, while all of it could be sent within `inOrderBelowMs`. Above that the lanes go apart
 *   (supply.ts): the live one may always have a batch in flight, beside it the backlog as many as the hub gives credits, at most
 *   `maxInFlight`.
 * - What the hub asks back (recalls.ts) is taken from the buffer while there is no more than a batch to send.
 * - The bytes of all requests keep to `maxBytesPerS` (bandwidth.ts); when there is room for one, the live lane has it first.
 * - While no time is trusted the hub is asked for its time before anything else leaves (hub-time.ts): what is in the buffer waits for it.
 * - Waits are jittered and bounded (pace.ts), and a refused batch does not stop the others (outbox.ts).
 * - What the hub acknowledged and lost is sent again: its floor falls (settled-floors.ts), it has stored what was sent later
 *   (acknowledged-seqs.ts), or it does not know an earlier start of this agent (earlier-epochs.ts).
 * - All waiting is by the monotonic clock; only `created`, the lane and what people see look at the hub's time (hub-clock.ts).
 */
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import { type BatchConflict, type Lane, maxHelloEpochs, type Recall } from '@tributary/shared/protocol'
import type { Buffer } from '../buffer/buffer.ts'
import { exchangeHello } from '../identity/hello.ts'
import { HubConnection } from '../identity/hub-connection.ts'
import { findProxy } from '../identity/hub-proxy.ts'
import { parseHubUrl } from '../identity/hub-url.ts'
import type { Identity } from '../identity/identity.ts'
import type { AgentClock } from '../time/agent-clock.ts'
import { type HubClock, hubClockBeside } from '../time/hub-clock.ts'
import { reportLearned } from '../time/report-learned.ts'
import { AcknowledgedSeqs } from './acknowledged-seqs.ts'
import { Bandwidth } from './bandwidth.ts'
import { DrainEstimate } from './drain-estimate.ts'
import { EarlierEpochs } from './earlier-epochs.ts'
import { HubTime } from './hub-time.ts'
import { Outbox, type Outgoing } from './outbox.ts'
import { Pace } from './pace.ts'
import { Recalls } from './recalls.ts'
import { SettledFloors } from './settled-floors.ts'
import { laneOf, sendBatch } from './signed-exchange.ts'
import { lookEveryMs, Supply } from './supply.ts'
import { Tally } from './tally.ts'
import { ToldConflicts } from './told-conflicts.ts'
import type { UplinkConfig } from './uplink-config.ts'
import type { LaneStatus, UplinkState, UplinkStatus } from './uplink-status.ts'
import type { ReadAnswer, Setback } from './verdict.ts'
import { Wakeup } from './wakeup.ts'

/** A pino logger fits. */
export interface UplinkLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface UplinkOptions {
  readonly buffer: Pick<
    Buffer,
    | 'seal'
    | 'split'
    | 'pending'
    | 'isPending'
    | 'acknowledge'
    | 'reseal'
    | 'resealCopy'
    | 'settle'
    | 'bringBack'
    | 'earlierFloors'
    | 'recall'
    | 'stats'
  >
  readonly identity: Identity
  readonly config: UplinkConfig
  readonly log: UplinkLog
  readonly clock?: HubClock
  /** The agent's own clock, which learns the time from the hub. Null: the hub is not asked. */
  readonly time?: AgentClock | null
  /** [0, 1); for the jitter. */
  readonly random?: () => number
  /** Sabotage for the proofs: what the hub has lost is not sent again. Never set in service. */
  readonly ignoreSettled?: boolean
}

/** Whose turn it is, in order of preference: one queue after the other, or the lanes side by side. */
const inOrder: readonly (readonly Lane[])[] = [['backlog', 'live']]
/** What a question for the time takes on the line, with its answer's head, about. */
const helloBytes = 700
const apart: readonly (readonly Lane[])[] = [['live'], ['backlog']]

export class Uplink {
  readonly #options: UplinkOptions
  readonly #config: UplinkConfig
  readonly #clock: HubClock
  readonly #outbox: Outbox
  readonly #pace: Pace
  readonly #estimate: DrainEstimate
  readonly #bandwidth: Bandwidth
  readonly #supply: Supply
  readonly #hubTime: HubTime | null
  readonly #tally = new Tally()
  readonly #floors: SettledFloors
  readonly #recalls: Recalls
  readonly #told = new ToldConflicts()
  readonly #acknowledged = new AcknowledgedSeqs()
  readonly #earlier: EarlierEpochs
  readonly #wakeup = new Wakeup()
  readonly #stop = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  #connection: HubConnection | null = null
  #proxyOrigin: string | null = null
  #running: Promise<void> | null = null
  /** Why the hub takes nothing now; null when it does. */
  #setback: Setback | null = null
  #bufferTrouble: Setback | null = null
  #lastError: UplinkStatus['lastError'] = null
  #credits = 1

  constructor(options: UplinkOptions) {
    const { config, random, buffer } = options
    this.#options = options
    this.#config = config
    this.#clock = options.clock ?? hubClockBeside(options.time ?? null)
    this.#hubTime = this.#createHubTime()
    this.#outbox = new Outbox(config.heldBackoff, random)
    this.#pace = new Pace(config.backoff, config.refusedRetryMs, random)
    this.#floors = new SettledFloors(config.settledFallMs)
    this.#recalls = new Recalls({ buffer, onDone: recall => this.#recalled(recall) })
    this.#bandwidth = new Bandwidth(config.maxBytesPerS)
    this.#estimate = new DrainEstimate(config.maxReadings, config.maxBytesPerS)
    const parts = { buffer, config, outbox: this.#outbox, estimate: this.#estimate }
    const monotonicMs = () => this.#clock.monotonicMs()
    this.#supply = new Supply({ ...parts, monotonicMs })
    this.#earlier = new EarlierEpochs({
      floors: () => buffer.earlierFloors(maxHelloEpochs),
      highestSent: epoch => this.#acknowledged.highestSent(epoch),
      ask: epochs => this.#askFloors(epochs),
      lost: (epoch, fromSeq) => this.#bringBack(epoch, fromSeq),
      monotonicMs,
    })
  }

  /** Throws `config` when the address of the hub or its proxy, or the CA file cannot be used. */
  start(): void {
    const { hub, insecure, caFile, maxInFlight, connectTimeoutMs, answerTimeoutMs } = this.#config
    const url = parseHubUrl(hub ?? this.#options.identity.hub, insecure)
    const proxy = findProxy(url, this.#config.proxy, process.env)
    this.#proxyOrigin = proxy?.url.origin ?? null
    this.#connection = new HubConnection({
      url,
      caFile,
      proxy,
      // The backlog's, one of the live lane, and one to ask for the time.
      connections: maxInFlight + 2,
      connectTimeoutMs,
      answerTimeoutMs,
      onDrop: () => this.#pace.dropped(this.#clock.monotonicMs()),
    })
    this.#running = this.#run(this.#connection)
  }

  /** Requests under way are cut off; their batches stay pending. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#wakeup.poke()
    await this.#running
    await Promise.all(this.#underWay)
    await this.#connection?.close()
    this.#connection = null
  }

  /** So many readings were committed. Optional and cheap: without it they are noticed up to `lingerMs` later. */
  wake(readings: number): void {
    if (this.#supply.arrived(readings)) this.#wakeup.poke()
  }

  /** Something happened to the machine's clock: ask the hub for its time as soon as sending goes on. */
  askTime(): void {
    this.#hubTime?.askSoon()
    this.#wakeup.poke()
  }

  #createHubTime(): HubTime | null {
    const { identity, log, time = null } = this.#options
    if (time === null) return null
    return new HubTime({
      identity,
      time,
      hubClock: this.#clock,
      signal: this.#stop.signal,
      onLearned: learned => reportLearned(log, time, 'hub', learned),
      onUnsigned: why =>
        log.warn({ why }, 'the hub does not sign its time: readings that need it are sent as uncertain'),
    })
  }

  async #run(connection: HubConnection): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const waitMs = await this.#step(connection).catch((error: unknown) => this.#bufferFailed(error))
      if (waitMs > 0) await this.#wakeup.wait(waitMs)
    }
  }

  /** Start at most one request; returns how long there is nothing to do, ms. */
  async #step(connection: HubConnection): Promise<number> {
    const nowMs = this.#clock.monotonicMs()
    const pausedMs = Math.max(this.#pace.waitMs(nowMs), this.#bandwidth.waitMs(nowMs))
    if (pausedMs > 0) {
      await this.#supply.look()
      this.#bufferTrouble = null
      return Math.min(pausedMs, lookEveryMs)
    }
    if (this.#hubTime?.comesFirst) return this.#askTime(connection, this.#hubTime)
    if (this.#hubTime?.isDue(nowMs)) this.#refreshTime(connection, this.#hubTime)
    if (this.#isFull()) return lookEveryMs
    if (this.#pace.attempts === 0) await this.#supply.arrange()
    else await this.#supply.look()
    this.#bufferTrouble = null
    let waitMs = lookEveryMs
    for (const lanes of this.#supply.apart ? apart : inOrder) {
      if (!this.#hasRoom(lanes)) continue
      const lookAgainMs = await this.#supply.fill(lanes)
      const next = this.#outbox.take(this.#clock.monotonicMs(), lanes)
      if (next) {
        if (await this.#isDue(next)) this.#start(connection, next)
        else this.#outbox.done(next)
        return 0
      }
      waitMs = Math.min(waitMs, this.#outbox.heldDueInMs(this.#clock.monotonicMs(), lanes) ?? waitMs, lookAgainMs)
    }
    const isQuiet = this.#supply.backlogReadings <= this.#config.maxReadings
    return isQuiet && (await this.#recalls.step()) ? 0 : waitMs
  }

  /** Nothing else leaves meanwhile; returns how long there is nothing to do, ms. */
  async #askTime(connection: HubConnection, hubTime: HubTime): Promise<number> {
    await this.#supply.look()
    const sentAtMs = this.#clock.monotonicMs()
    this.#bandwidth.spend(helloBytes, sentAtMs)
    try {
      const setback = await hubTime.ask(connection)
      if (setback === null) this.#hubAnswers(sentAtMs)
      else this.#waitAfter(setback, sentAtMs)
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#waitAfter(setbackOf(error), sentAtMs)
    }
    return 0
  }

  /** Beside the batches, which tell well enough when the hub cannot be reached. */
  #refreshTime(connection: HubConnection, hubTime: HubTime): void {
    this.#bandwidth.spend(helloBytes, this.#clock.monotonicMs())
    const asking = hubTime
      .refresh(connection)
      .catch((error: unknown) =>
        this.#options.log.error({ error: messageOf(error) }, 'the hub cannot be asked for its time'),
      )
      .finally(() => this.#underWay.delete(asking))
    this.#underWay.add(asking)
  }

  #waitAfter(setback: Setback, sentAtMs: number): void {
    const nowMs = this.#clock.monotonicMs()
    this.#tally.failed++
    if (setback.kind === 'refused') this.#pace.refused(nowMs, sentAtMs)
    else this.#pace.later(nowMs, sentAtMs, setback.retryAfterS)
    this.#note(setback)
  }

  /** What waited long may have been evicted: then it is in the ledger, and sending it would make that untrue. */
  async #isDue(outgoing: Outgoing): Promise<boolean> {
    if (!outgoing.tried) return true
    const { epoch, seq } = outgoing.batch
    try {
      return await this.#options.buffer.isPending(epoch, seq)
    } catch (error) {
      this.#outbox.putBack(outgoing, this.#clock.monotonicMs())
      throw error
    }
  }

  #start(connection: HubConnection, outgoing: Outgoing): void {
    const sending = this.#send(connection, outgoing).finally(() => {
      this.#underWay.delete(sending)
      this.#wakeup.poke()
    })
    this.#underWay.add(sending)
  }

  #isFull(): boolean {
    return !(this.#supply.apart ? apart : inOrder).some(lanes => this.#hasRoom(lanes))
  }

  /** May a request of these lanes leave? While tries fail, or the hub never answered, only one at a time. */
  #hasRoom(lanes: readonly Lane[]): boolean {
    const alone = this.#pace.attempts > 0 || !this.#supply.apart
    if (alone) return this.#outbox.inFlight === 0
    if (lanes.includes('live')) return this.#outbox.inFlightOf('live') === 0
    return this.#outbox.inFlightOf('backlog') < Math.min(this.#credits, this.#config.maxInFlight)
  }

  async #send(connection: HubConnection, outgoing: Outgoing): Promise<void> {
    const sentAtMs = this.#clock.monotonicMs()
    this.#acknowledged.sent(outgoing.batch.epoch, outgoing.batch.seq)
    try {
      const exchange = {
        connection,
        identity: this.#options.identity,
        clock: this.#clock,
        signal: this.#stop.signal,
        onClockCorrected: () => this.#clockCorrected(),
        lane: () => this.#claimOf(outgoing),
        onSend: (bytes: number) => this.#bandwidth.spend(bytes, this.#clock.monotonicMs()),
      }
      const verdict = await sendBatch(exchange, outgoing.batch)
      if (verdict.kind === 'stored') await this.#stored(outgoing, verdict.answer, sentAtMs)
      else if (verdict.kind === 'conflict') await this.#conflict(outgoing, { ...verdict, kind: 'held' }, sentAtMs)
      else this.#setBack(outgoing, verdict, sentAtMs)
    } catch (error) {
      this.#setBack(outgoing, setbackOf(error), sentAtMs)
    }
  }

  /** Backlog is what the lanes set apart, and whatever is old. */
  #claimOf({ batch, lane }: Outgoing): Lane {
    return this.#supply.apart && lane === 'backlog' ? 'backlog' : laneOf(batch.newestUs, this.#clock.nowMs())
  }

  async #stored(outgoing: Outgoing, answer: ReadAnswer, sentAtMs: number): Promise<void> {
    const { epoch, seq } = outgoing.batch
    const receivedAtMs = this.#clock.monotonicMs()
    try {
      await this.#options.buffer.acknowledge(epoch, seq)
    } catch (error) {
      // It stays pending, and is sent again: the hub knows its identity.
      this.#outbox.putBack(outgoing, receivedAtMs)
      this.#bufferFailed(error)
      return
    }
    this.#outbox.done(outgoing)
    this.#hubAnswers(sentAtMs)
    const { readings, body } = outgoing.batch
    this.#tally.stored(this.#claimOf(outgoing), readings, body.length, answer, this.#clock.nowMs())
    this.#supply.stored(readings)
    this.#estimate.stored({ readings, bytes: body.length }, receivedAtMs - sentAtMs, receivedAtMs)
    this.#credits = Math.max(1, answer.credits)
    this.#recalls.hear(answer.recalls)
    if (this.#options.ignoreSettled !== true) await this.#sendLostAgain(outgoing, answer, sentAtMs, receivedAtMs)
    for (const conflict of this.#told.fresh(answer.conflicts)) await this.#resealCopy(conflict)
  }

  /** Whatever the answer shows that the hub has lost of what it acknowledged. */
  async #sendLostAgain({ batch }: Outgoing, answer: ReadAnswer, sentAtMs: number, receivedAtMs: number): Promise<void> {
    const { epoch, seq } = batch
    this.#acknowledged.acknowledged(epoch, seq)
    if (this.#floors.heard(epoch, answer.settled, sentAtMs, receivedAtMs)) await this.#settle(epoch, answer.settled)
    const lostFrom = this.#acknowledged.stored(epoch, answer.settled, answer.reached)
    if (lostFrom !== null) await this.#bringBack(epoch, lostFrom)
    await this.#lookBack(epoch, answer.reached)
  }

  async #resealCopy(conflict: BatchConflict): Promise<void> {
    const { epoch, seq, digest } = conflict
    try {
      const resealed = await this.#options.buffer.resealCopy(epoch, seq, digest)
      this.#told.done(conflict)
      if (!resealed) return
      this.#tally.resealed++
      this.#supply.pendingAgain()
    } catch (error) {
      this.#bufferFailed(error)
    }
  }

  #settle(epoch: number, settled: number): Promise<void> {
    return this.#sendAgain(epoch, settled, this.#options.buffer.settle(epoch, settled))
  }

  #bringBack(epoch: number, fromSeq: number): Promise<void> {
    return this.#sendAgain(epoch, fromSeq, this.#options.buffer.bringBack(epoch, fromSeq))
  }

  async #sendAgain(epoch: number, fromSeq: number, broughtBack: Promise<number>): Promise<void> {
    try {
      const batches = await broughtBack
      if (batches === 0) return
      this.#tally.again += batches
      this.#supply.pendingAgain()
      const fields = { epoch, fromSeq, batches }
      this.#options.log.warn(fields, 'the hub has lost batches that it had acknowledged; sending them again')
    } catch (error) {
      this.#bufferFailed(error)
    }
  }

  /** A hub that does not tell is asked again when it is due. */
  async #lookBack(epoch: number, reached: number): Promise<void> {
    try {
      await this.#earlier.acknowledged(epoch, reached)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      this.#options.log.warn(
        { error: messageOf(error) },
        'cannot tell what the hub has of earlier starts of this agent',
      )
    }
  }

  async #askFloors(epochs: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const connection = this.#connection
    if (connection === null) throw new TributaryError('aborted', 'stopped')
    const { identity } = this.#options
    const { said, answer } = await exchangeHello(connection, identity, this.#clock.nowMs(), this.#stop.signal, epochs)
    if (said === null) throw new TributaryError('unavailable', `the hub answers a hello with ${answer.status}`)
    return new Map(said.settled.map(({ epoch, settled }) => [epoch, settled]))
  }

  /** The hub has this identity with other contents: the readings leave under another one. A hub that says so again has it held. */
  async #conflict(outgoing: Outgoing, conflict: Setback, sentAtMs: number): Promise<void> {
    const { epoch, seq, readings } = outgoing.batch
    if (outgoing.resealed) return this.#setBack(outgoing, conflict, sentAtMs)
    try {
      const batch = await this.#options.buffer.reseal(epoch, seq)
      this.#tally.resealed++
      const fields = { epoch, seq, readings, newEpoch: batch?.epoch, newSeq: batch?.seq }
      this.#options.log.warn(
        fields,
        'the hub has another batch of this identity: sealed again; is this gateway cloned?',
      )
      if (batch) this.#outbox.replace(outgoing, batch)
      else this.#outbox.done(outgoing)
      this.#hubAnswers(sentAtMs)
    } catch (error) {
      this.#setBack(outgoing, conflict, sentAtMs)
      this.#bufferFailed(error)
    }
  }

  #hubAnswers(sentAtMs: number): void {
    this.#pace.succeeded(sentAtMs)
    if (!this.#setback || this.#pace.attempts > 0) return
    this.#setback = null
    this.#earlier.hubReturned()
    this.#options.log.info({ hub: this.#connection?.origin }, 'the hub takes batches again')
  }

  #setBack(outgoing: Outgoing, setback: Setback, sentAtMs: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (setback.code === 'aborted' && this.#stop.signal.aborted) {
      this.#outbox.putBack(outgoing, nowMs)
      return
    }
    this.#tally.failed++
    if (setback.kind === 'held') this.#outbox.hold(outgoing, nowMs, setback.code, setback.detail)
    else this.#outbox.putBack(outgoing, nowMs)
    if (setback.kind === 'later') this.#pace.later(nowMs, sentAtMs, setback.retryAfterS)
    if (setback.kind === 'refused') this.#pace.refused(nowMs, sentAtMs)
    if (setback.kind === 'held') this.#hubAnswers(sentAtMs)
    this.#report(setback, outgoing)
  }

  #report(setback: Setback, { batch, refusals }: Outgoing): void {
    const { kind, code, detail } = setback
    if (kind !== 'held') {
      this.#note(setback)
      return
    }
    this.#lastError = { atMs: this.#clock.nowMs(), code, detail }
    const fields = { epoch: batch.epoch, seq: batch.seq, readings: batch.readings, code, tries: refusals + 1 }
    if (refusals > 0) return
    this.#options.log.error(fields, `the hub refuses a batch; it is kept and tried again: ${detail}`)
  }

  /** Log what is new; the same trouble again only counts. */
  #note(setback: Setback): void {
    const { log } = this.#options
    const { kind, code, detail } = setback
    const isNew = this.#setback?.kind !== kind || this.#setback.code !== code
    this.#lastError = { atMs: this.#clock.nowMs(), code, detail }
    this.#setback = setback
    if (!isNew) return
    if (kind === 'refused') log.error({ code }, `the hub refuses this agent; readings are kept: ${detail}`)
    else log.warn({ code }, `cannot send to the hub for now; readings are kept: ${detail}`)
  }

  #bufferFailed(error: unknown): number {
    const nowMs = this.#clock.monotonicMs()
    const code = isTributaryError(error) ? error.code : 'internal'
    const detail = messageOf(error)
    if (this.#bufferTrouble?.code !== code) this.#options.log.error({ code }, `the buffer fails the uplink: ${detail}`)
    this.#bufferTrouble = { kind: 'later', code, detail, retryAfterS: null }
    this.#lastError = { atMs: this.#clock.nowMs(), code, detail }
    this.#pace.later(nowMs, nowMs, null)
    return Math.max(1, this.#pace.waitMs(nowMs))
  }

  #recalled({ id, device, metric }: Recall): void {
    this.#options.log.info({ recall: id, device, metric }, 'what the hub asked back is in the buffer to be sent')
  }

  #clockCorrected(): void {
    this.#hubTime?.askSoon()
    const offsetMs = this.#clock.offsetMs()
    this.#options.log.warn({ offsetMs }, "this machine's clock is off; using the hub's time from its signed answer")
  }

  status(): UplinkStatus {
    const nowMs = this.#clock.monotonicMs()
    const waitMs = this.#pace.waitMs(nowMs)
    return {
      state: this.#state(),
      detail: this.#detail(),
      hub: this.#connection?.origin ?? this.#config.hub ?? this.#options.identity.hub,
      proxy: this.#proxyOrigin,
      lastSuccessMs: this.#tally.lastSuccessMs,
      lastError: this.#lastError,
      backlogReadings: this.#supply.backlogReadings,
      apart: this.#supply.apart,
      lanes: { live: this.#laneStatus('live'), backlog: this.#laneStatus('backlog') },
      drainReadingsPerS: this.#estimate.readingsPerS(nowMs),
      estimatedDrainMs: this.#estimate.atRateMs(this.#supply.backlogReadings, nowMs),
      inFlight: this.#outbox.inFlight,
      nextTryInMs: waitMs > 0 ? Math.ceil(waitMs) : null,
      held: this.#outbox.held(),
      sentBatches: this.#tally.sum('batches'),
      sentReadings: this.#tally.sum('readings'),
      sentBytes: this.#tally.sum('bytes'),
      failedTries: this.#tally.failed,
      rejected: this.#tally.rejected,
      clockOffsetMs: this.#clock.offsetMs(),
      clockCorrections: this.#clock.corrections,
      sentAgain: this.#tally.again,
      resealed: this.#tally.resealed,
      credits: this.#credits,
      recalls: { open: this.#recalls.open, done: this.#recalls.done },
      desiredConfigVersion: this.#tally.desiredConfigVersion,
    }
  }

  #laneStatus(lane: Lane): LaneStatus {
    const { batches, readings, bytes } = this.#tally.lanes[lane]
    return {
      unsealedReadings: this.#supply.unsealed[lane],
      inFlight: this.#outbox.inFlightOf(lane),
      sentBatches: batches,
      sentReadings: readings,
      sentBytes: bytes,
    }
  }

  #detail(): string {
    const trouble = this.#bufferTrouble ?? this.#setback
    if (trouble) return trouble.detail
    const [held] = this.#outbox.held()
    if (!held) return ''
    const count = this.#outbox.heldCount
    return `the hub refuses ${count === 1 ? 'a batch' : `${count} batches`}, kept and tried again: ${held.detail}`
  }

  #state(): UplinkState {
    if (!this.#connection || this.#stop.signal.aborted) return 'stopped'
    if (this.#setback?.kind === 'refused') return 'refused'
    if (this.#setback || this.#bufferTrouble) return 'waiting'
    if (this.#outbox.heldCount >= this.#config.maxHeld) return 'blocked'
    return this.#outbox.inFlight > 0 || this.#supply.backlogReadings > 0 ? 'sending' : 'idle'
  }
}

function setbackOf(error: unknown): Setback {
  const code = isTributaryError(error) ? error.code : 'internal'
  return { kind: 'later', code, detail: messageOf(error), retryAfterS: null }
}
