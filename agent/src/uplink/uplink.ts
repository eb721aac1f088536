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
 * - What the hub acknowledged and lost is sent again (lost-at-hub.ts).
 * - All waiting is by the monotonic clock; only `created`, the lane and what people see look at the hub's time (hub-clock.ts).
 */
import { messageOf } from '@tributary/shared/errors'
import type { Lane, Recall } from '@tributary/shared/protocol'
import type { Buffer } from '../buffer/buffer.ts'
import { HubConnection } from '../identity/hub-connection.ts'
import { findProxy } from '../identity/hub-proxy.ts'
import { parseHubUrl } from '../identity/hub-url.ts'
import type { Identity } from '../identity/identity.ts'
import type { AgentClock } from '../time/agent-clock.ts'
import { type HubClock, hubClockBeside } from '../time/hub-clock.ts'
import { reportLearned } from '../time/report-learned.ts'
import { Bandwidth } from './bandwidth.ts'
import { DrainEstimate } from './drain-estimate.ts'
import { HubTime } from './hub-time.ts'
import { LostAtHub } from './lost-at-hub.ts'
import { Outbox, type Outgoing } from './outbox.ts'
import { Pace } from './pace.ts'
import { readStatus } from './read-status.ts'
import { Recalls } from './recalls.ts'
import { laneOf, sendBatch } from './signed-exchange.ts'
import { lookEveryMs, Supply } from './supply.ts'
import { Tally } from './tally.ts'
import { setbackOf, Trouble } from './trouble.ts'
import type { UplinkConfig } from './uplink-config.ts'
import type { UplinkLog } from './uplink-log.ts'
import type { UplinkStatus } from './uplink-status.ts'
import type { ReadAnswer, Setback } from './verdict.ts'
import { Wakeup } from './wakeup.ts'

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
  readonly #recalls: Recalls
  readonly #lost: LostAtHub
  readonly #trouble: Trouble
  readonly #wakeup = new Wakeup()
  readonly #stop = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  #connection: HubConnection | null = null
  #proxyOrigin: string | null = null
  #running: Promise<void> | null = null
  #credits = 1

  constructor(options: UplinkOptions) {
    const { config, random, buffer } = options
    this.#options = options
    this.#config = config
    this.#clock = options.clock ?? hubClockBeside(options.time ?? null)
    this.#hubTime = this.#createHubTime()
    this.#outbox = new Outbox(config.heldBackoff, random)
    this.#pace = new Pace(config.backoff, config.refusedRetryMs, random)
    this.#trouble = new Trouble(options.log, () => this.#clock.nowMs())
    this.#recalls = new Recalls({ buffer, onDone: recall => this.#recalled(recall) })
    this.#bandwidth = new Bandwidth(config.maxBytesPerS)
    this.#estimate = new DrainEstimate(config.maxReadings, config.maxBytesPerS)
    const parts = { buffer, config, outbox: this.#outbox, estimate: this.#estimate }
    this.#supply = new Supply({ ...parts, monotonicMs: () => this.#clock.monotonicMs() })
    this.#lost = new LostAtHub({
      buffer,
      identity: options.identity,
      clock: this.#clock,
      tally: this.#tally,
      log: options.log,
      signal: this.#stop.signal,
      settledFallMs: config.settledFallMs,
      connection: () => this.#connection,
      pendingAgain: () => this.#supply.pendingAgain(),
      bufferFailed: error => this.#bufferFailed(error),
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
      this.#trouble.bufferWorks()
      return Math.min(pausedMs, lookEveryMs)
    }
    if (this.#hubTime?.comesFirst) return this.#askTime(connection, this.#hubTime)
    if (this.#hubTime?.isDue(nowMs)) this.#refreshTime(connection, this.#hubTime)
    if (this.#isFull()) return lookEveryMs
    if (this.#pace.attempts === 0) await this.#supply.arrange()
    else await this.#supply.look()
    this.#trouble.bufferWorks()
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
    this.#trouble.hub(setback)
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
    this.#lost.sent(outgoing.batch)
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
    if (this.#options.ignoreSettled !== true) await this.#lost.answered(outgoing.batch, answer, sentAtMs, receivedAtMs)
    await this.#lost.told(answer.conflicts)
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
    if (this.#pace.attempts === 0 && this.#trouble.hubAnswers(this.#connection?.origin)) this.#lost.hubReturned()
  }

  #setBack(outgoing: Outgoing, setback: Setback, sentAtMs: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (setback.code === 'aborted' && this.#stop.signal.aborted) {
      this.#outbox.putBack(outgoing, nowMs)
      return
    }
    if (setback.kind !== 'held') {
      this.#outbox.putBack(outgoing, nowMs)
      this.#waitAfter(setback, sentAtMs)
      return
    }
    this.#tally.failed++
    this.#outbox.hold(outgoing, nowMs, setback.code, setback.detail)
    this.#hubAnswers(sentAtMs)
    this.#trouble.held(setback, outgoing)
  }

  #bufferFailed(error: unknown): number {
    const nowMs = this.#clock.monotonicMs()
    this.#trouble.buffer(error)
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
    return readStatus({
      clock: this.#clock,
      pace: this.#pace,
      outbox: this.#outbox,
      supply: this.#supply,
      estimate: this.#estimate,
      tally: this.#tally,
      trouble: this.#trouble,
      recalls: this.#recalls,
      credits: this.#credits,
      maxHeld: this.#config.maxHeld,
      hub: this.#connection?.origin ?? this.#config.hub ?? this.#options.identity.hub,
      proxy: this.#proxyOrigin,
      stopped: this.#connection === null || this.#stop.signal.aborted,
    })
  }
}
