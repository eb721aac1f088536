/**
 * The uplink drains the buffer to the hub, for as long as the agent runs.
 *
 * Guarantees
 * - After a start the batches that were sealed and not acknowledged go first, byte for byte as sealed; then new ones.
 * - A batch leaves the buffer's hands only by a 200 that reads as an answer; whatever else happens, it is kept and tried again.
 * - Batches go one after another, in order, while all of it could be sent within `inOrderBelowMs`; above that as many at once as
 *   the hub gives credits, at most `maxInFlight`.
 * - Waits are jittered and bounded (pace.ts), a refused batch does not stop the others (outbox.ts), and a falling `settled` brings
 *   back what the hub lost.
 * - All waiting is by the monotonic clock; only `created` and the lane look at the hub's time (hub-clock.ts).
 */
import { isTributaryError, messageOf } from '@tributary/shared/errors'
import type { Buffer, SealedBatch } from '../buffer/buffer.ts'
import { HubClock } from '../identity/hub-clock.ts'
import { HubConnection } from '../identity/hub-connection.ts'
import { parseHubUrl } from '../identity/hub-url.ts'
import type { Identity } from '../identity/identity.ts'
import { Linger } from './linger.ts'
import { Outbox, type Outgoing } from './outbox.ts'
import { Pace } from './pace.ts'
import { SettledFloors } from './settled-floors.ts'
import { sendBatch } from './signed-exchange.ts'
import type { UplinkConfig } from './uplink-config.ts'
import type { UplinkState, UplinkStatus } from './uplink-status.ts'
import type { ReadAnswer, Setback } from './verdict.ts'
import { Wakeup } from './wakeup.ts'

/** A pino logger fits. */
export interface UplinkLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface UplinkOptions {
  readonly buffer: Pick<Buffer, 'seal' | 'pending' | 'acknowledge' | 'settle' | 'stats'>
  readonly identity: Identity
  readonly config: UplinkConfig
  readonly log: UplinkLog
  readonly clock?: HubClock
  /** [0, 1); for the jitter. */
  readonly random?: () => number
}

/** Longest wait before looking again whatever is waited for, ms. */
const lookEveryMs = 1000

/** Shortest wait between two looks at a buffer that has nothing, ms. */
const idleLookMs = 50

export class Uplink {
  readonly #options: UplinkOptions
  readonly #config: UplinkConfig
  readonly #clock: HubClock
  readonly #outbox: Outbox
  readonly #pace: Pace
  readonly #linger: Linger
  readonly #floors: SettledFloors
  readonly #wakeup = new Wakeup()
  readonly #stop = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  #connection: HubConnection | null = null
  #running: Promise<void> | null = null
  /** The buffer may hold sealed batches that are not in the outbox. */
  #lookForPending = true
  /** Why the hub takes nothing now; null when it does. */
  #setback: Setback | null = null
  #bufferTrouble: Setback | null = null
  #lastError: UplinkStatus['lastError'] = null
  #lastSuccessMs: number | null = null
  #backlogReadings = 0
  /** One connection's throughput, smoothed; null before the first answer. */
  #readingsPerMs: number | null = null
  #credits = 1
  #desiredConfigVersion: number | null = null
  #sent = { batches: 0, readings: 0, bytes: 0, failed: 0, again: 0 }
  readonly #rejected = new Map<string, number>()

  constructor(options: UplinkOptions) {
    const { config, random } = options
    this.#options = options
    this.#config = config
    this.#clock = options.clock ?? new HubClock()
    this.#outbox = new Outbox(config.heldBackoff, random)
    this.#pace = new Pace(config.backoff, config.refusedRetryMs, random)
    this.#floors = new SettledFloors(config.settledFallMs)
    this.#linger = new Linger(config.maxReadings, config.lingerMs)
  }

  /** Throws `config` when the hub's address or the CA file cannot be used. */
  start(): void {
    const { hub, insecure, caFile, maxInFlight, connectTimeoutMs, answerTimeoutMs } = this.#config
    this.#connection = new HubConnection({
      url: parseHubUrl(hub ?? this.#options.identity.hub, insecure),
      caFile,
      connections: maxInFlight,
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
    if (this.#linger.arrived(readings, this.#clock.monotonicMs())) this.#wakeup.poke()
  }

  async #run(connection: HubConnection): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const waitMs = await this.#step(connection).catch((error: unknown) => this.#bufferFailed(error))
      if (waitMs > 0) await this.#wakeup.wait(waitMs)
    }
  }

  /** Start at most one request; returns how long there is nothing to do, ms. */
  async #step(connection: HubConnection): Promise<number> {
    const pausedMs = this.#pace.waitMs(this.#clock.monotonicMs())
    if (pausedMs > 0) {
      await this.#look()
      return Math.min(pausedMs, lookEveryMs)
    }
    if (this.#outbox.inFlight >= this.#window()) return lookEveryMs
    const lookAgainMs = await this.#fill()
    const next = this.#outbox.take(this.#clock.monotonicMs())
    if (!next) return Math.min(lookAgainMs, this.#outbox.heldDueInMs(this.#clock.monotonicMs()) ?? lookAgainMs)
    const sending = this.#send(connection, next).finally(() => {
      this.#underWay.delete(sending)
      this.#wakeup.poke()
    })
    this.#underWay.add(sending)
    return 0
  }

  /** Requests that may be in flight now. */
  #window(): number {
    if (this.#pace.attempts > 0 || this.#readingsPerMs === null) return 1
    const drainMs = this.#backlogReadings / this.#readingsPerMs
    return drainMs < this.#config.inOrderBelowMs ? 1 : Math.min(this.#credits, this.#config.maxInFlight)
  }

  /** Bring a batch into the outbox if one is to be had; returns when to look again, ms. */
  async #fill(): Promise<number> {
    const { buffer } = this.#options
    const { lingerMs, maxReadings, maxHeld } = this.#config
    if (this.#outbox.waiting > 0) return lookEveryMs
    if (this.#lookForPending) {
      this.#outbox.add(await buffer.pending(1000))
      this.#lookForPending = false
      if (this.#outbox.waiting > 0) return lookEveryMs
    }
    if (this.#outbox.heldCount >= maxHeld) return lookEveryMs
    await this.#look()
    const dueInMs = this.#linger.dueInMs(this.#clock.monotonicMs())
    if (dueInMs === null) return Math.max(idleLookMs, lingerMs)
    if (dueInMs > 0) return dueInMs
    const batch = await buffer.seal(maxReadings, 'live')
    this.#linger.sealed()
    if (batch) this.#outbox.add([batch])
    return Math.max(idleLookMs, lingerMs)
  }

  async #look(): Promise<void> {
    const { backlogReadings } = await this.#options.buffer.stats()
    this.#bufferTrouble = null
    this.#backlogReadings = backlogReadings
    this.#linger.observe(backlogReadings - this.#outbox.readings(), this.#clock.monotonicMs())
  }

  async #send(connection: HubConnection, outgoing: Outgoing): Promise<void> {
    const sentAtMs = this.#clock.monotonicMs()
    try {
      const exchange = {
        connection,
        identity: this.#options.identity,
        clock: this.#clock,
        signal: this.#stop.signal,
        onClockCorrected: () => this.#clockCorrected(),
      }
      const verdict = await sendBatch(exchange, outgoing.batch)
      if (verdict.kind === 'stored') await this.#stored(outgoing, verdict.answer, sentAtMs)
      else this.#setBack(outgoing, verdict, sentAtMs)
    } catch (error) {
      const code = isTributaryError(error) ? error.code : 'internal'
      this.#setBack(outgoing, { kind: 'later', code, detail: messageOf(error), retryAfterS: null }, sentAtMs)
    }
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
    this.#countStored(outgoing.batch, answer, receivedAtMs - sentAtMs)
    if (this.#floors.heard(epoch, answer.settled, sentAtMs, receivedAtMs)) await this.#settle(epoch, answer.settled)
  }

  async #settle(epoch: number, settled: number): Promise<void> {
    const { buffer, log } = this.#options
    try {
      const batches = await buffer.settle(epoch, settled)
      if (batches === 0) return
      this.#sent.again += batches
      this.#lookForPending = true
      log.warn({ epoch, settled, batches }, 'the hub has lost batches that it had acknowledged; sending them again')
    } catch (error) {
      this.#bufferFailed(error)
    }
  }

  #hubAnswers(sentAtMs: number): void {
    this.#pace.succeeded(sentAtMs)
    if (!this.#setback || this.#pace.attempts > 0) return
    this.#setback = null
    this.#options.log.info({ hub: this.#connection?.origin }, 'the hub takes batches again')
  }

  #countStored(batch: SealedBatch, answer: ReadAnswer, tookMs: number): void {
    this.#sent.batches++
    this.#sent.readings += batch.readings
    this.#sent.bytes += batch.body.length
    this.#backlogReadings = Math.max(0, this.#backlogReadings - batch.readings)
    const rate = batch.readings / Math.max(1, tookMs)
    this.#readingsPerMs = this.#readingsPerMs === null ? rate : this.#readingsPerMs * 0.8 + rate * 0.2
    this.#credits = Math.max(1, answer.credits)
    this.#desiredConfigVersion = answer.desiredConfigVersion
    for (const [reason, count] of answer.rejected) this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + count)
    this.#lastSuccessMs = Date.now()
  }

  #setBack(outgoing: Outgoing, setback: Setback, sentAtMs: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (setback.code === 'aborted' && this.#stop.signal.aborted) {
      this.#outbox.putBack(outgoing, nowMs)
      return
    }
    this.#sent.failed++
    if (setback.kind === 'held') this.#outbox.hold(outgoing, nowMs, setback.code, setback.detail)
    else this.#outbox.putBack(outgoing, nowMs)
    if (setback.kind === 'later') this.#pace.later(nowMs, sentAtMs, setback.retryAfterS)
    if (setback.kind === 'refused') this.#pace.refused(nowMs, sentAtMs)
    if (setback.kind === 'held') this.#hubAnswers(sentAtMs)
    this.#report(setback, outgoing)
  }

  /** Log what is new; the same trouble again only counts. */
  #report(setback: Setback, { batch, refusals }: Outgoing): void {
    const { log } = this.#options
    const { kind, code, detail } = setback
    const isNew = this.#setback?.kind !== kind || this.#setback.code !== code
    this.#lastError = { atMs: Date.now(), code, detail }
    if (kind === 'held') {
      const fields = { epoch: batch.epoch, seq: batch.seq, readings: batch.readings, code, tries: refusals + 1 }
      if (refusals === 0) log.error(fields, `the hub refuses a batch; it is kept and tried again: ${detail}`)
      return
    }
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
    this.#lastError = { atMs: Date.now(), code, detail }
    this.#pace.later(nowMs, nowMs, null)
    return Math.max(1, this.#pace.waitMs(nowMs))
  }

  #clockCorrected(): void {
    const offsetMs = this.#clock.offsetMs()
    this.#options.log.warn({ offsetMs }, "this machine's clock is off; using the hub's time from its signed answer")
  }

  status(): UplinkStatus {
    const waitMs = this.#pace.waitMs(this.#clock.monotonicMs())
    const state = this.#state()
    return {
      state,
      detail: this.#detail(),
      hub: this.#connection?.origin ?? this.#config.hub ?? this.#options.identity.hub,
      lastSuccessMs: this.#lastSuccessMs,
      lastError: this.#lastError,
      backlogReadings: this.#backlogReadings,
      inFlight: this.#outbox.inFlight,
      nextTryInMs: waitMs > 0 ? Math.ceil(waitMs) : null,
      held: this.#outbox.held(),
      sentBatches: this.#sent.batches,
      sentReadings: this.#sent.readings,
      sentBytes: this.#sent.bytes,
      failedTries: this.#sent.failed,
      rejected: Object.fromEntries(this.#rejected),
      clockOffsetMs: this.#clock.offsetMs(),
      clockCorrections: this.#clock.corrections,
      sentAgain: this.#sent.again,
      credits: this.#credits,
      desiredConfigVersion: this.#desiredConfigVersion,
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
    return this.#outbox.inFlight > 0 || this.#backlogReadings > 0 ? 'sending' : 'idle'
  }
}
