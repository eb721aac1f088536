/**
 * What the hub acknowledged and has not any more leaves again: its floor fell (settled-floors.ts), it has stored what was sent later
 * (acknowledged-seqs.ts), it does not know an earlier start of this agent (earlier-epochs.ts), or it told that it has other contents
 * under the identity (told-conflicts.ts). What is no longer kept goes into the ledger.
 */
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { type BatchConflict, maxHelloEpochs } from '@tributary/shared/protocol'
import type { Buffer } from '../buffer/buffer.ts'
import type { BatchId } from '../buffer/epochs.ts'
import { exchangeHello } from '../identity/hello.ts'
import type { HubConnection } from '../identity/hub-connection.ts'
import type { Identity } from '../identity/identity.ts'
import type { HubClock } from '../time/hub-clock.ts'
import { AcknowledgedSeqs } from './acknowledged-seqs.ts'
import { EarlierEpochs } from './earlier-epochs.ts'
import { SettledFloors } from './settled-floors.ts'
import type { Tally } from './tally.ts'
import { ToldConflicts } from './told-conflicts.ts'
import type { UplinkLog } from './uplink-log.ts'
import type { ReadAnswer } from './verdict.ts'

export interface LostAtHubParts {
  readonly buffer: Pick<Buffer, 'settle' | 'bringBack' | 'resealCopy' | 'earlierFloors'>
  readonly identity: Identity
  readonly clock: HubClock
  readonly tally: Tally
  readonly log: UplinkLog
  readonly signal: AbortSignal
  /** A floor must have stayed low for so long before it is believed, ms. */
  readonly settledFallMs: number
  readonly connection: () => HubConnection | null
  /** Batches that were acknowledged wait to be sent again. */
  readonly pendingAgain: () => void
  readonly bufferFailed: (error: unknown) => void
}

export class LostAtHub {
  readonly #parts: LostAtHubParts
  readonly #floors: SettledFloors
  readonly #acknowledged = new AcknowledgedSeqs()
  readonly #earlier: EarlierEpochs
  readonly #told = new ToldConflicts()

  constructor(parts: LostAtHubParts) {
    this.#parts = parts
    this.#floors = new SettledFloors(parts.settledFallMs)
    this.#earlier = new EarlierEpochs({
      floors: () => parts.buffer.earlierFloors(maxHelloEpochs),
      highestSent: epoch => this.#acknowledged.highestSent(epoch),
      ask: epochs => this.#askFloors(epochs),
      lost: (epoch, fromSeq) => this.#bringBack(epoch, fromSeq),
      monotonicMs: () => parts.clock.monotonicMs(),
    })
  }

  /** A try of the batch leaves. */
  sent({ epoch, seq }: BatchId): void {
    this.#acknowledged.sent(epoch, seq)
  }

  /** The batch was acknowledged; its answer tells how far the hub has stored its epoch. */
  async answered({ epoch, seq }: BatchId, answer: ReadAnswer, sentAtMs: number, receivedAtMs: number): Promise<void> {
    const { settled, reached } = answer
    this.#acknowledged.acknowledged(epoch, seq)
    if (this.#floors.heard(epoch, settled, sentAtMs, receivedAtMs)) await this.#settle(epoch, settled)
    const lostFrom = this.#acknowledged.stored(epoch, settled, reached)
    if (lostFrom !== null) await this.#bringBack(epoch, lostFrom)
    await this.#lookBack(epoch, reached)
  }

  /** Conflicts that the hub found after its answer. */
  async told(conflicts: readonly BatchConflict[]): Promise<void> {
    for (const conflict of this.#told.fresh(conflicts)) await this.#resealCopy(conflict)
  }

  /** It was away: it may be another one, or an older one. */
  hubReturned(): void {
    this.#earlier.hubReturned()
  }

  async #resealCopy(conflict: BatchConflict): Promise<void> {
    const { buffer, tally, pendingAgain, bufferFailed } = this.#parts
    try {
      const resealed = await buffer.resealCopy(conflict.epoch, conflict.seq, conflict.digest)
      this.#told.done(conflict)
      if (!resealed) return
      tally.resealed++
      pendingAgain()
    } catch (error) {
      bufferFailed(error)
    }
  }

  #settle(epoch: number, settled: number): Promise<void> {
    return this.#sendAgain(epoch, settled, this.#parts.buffer.settle(epoch, settled))
  }

  #bringBack(epoch: number, fromSeq: number): Promise<void> {
    return this.#sendAgain(epoch, fromSeq, this.#parts.buffer.bringBack(epoch, fromSeq))
  }

  async #sendAgain(epoch: number, fromSeq: number, broughtBack: Promise<number>): Promise<void> {
    const { tally, log, pendingAgain, bufferFailed } = this.#parts
    try {
      const batches = await broughtBack
      if (batches === 0) return
      tally.again += batches
      pendingAgain()
      const fields = { epoch, fromSeq, batches }
      log.warn(fields, 'the hub has lost batches that it had acknowledged; sending them again')
    } catch (error) {
      bufferFailed(error)
    }
  }

  /** A hub that does not tell is asked again when it is due. */
  async #lookBack(epoch: number, reached: number): Promise<void> {
    try {
      await this.#earlier.acknowledged(epoch, reached)
    } catch (error) {
      if (this.#parts.signal.aborted) return
      this.#parts.log.warn({ error: messageOf(error) }, 'cannot tell what the hub has of earlier starts of this agent')
    }
  }

  async #askFloors(epochs: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const { connection, identity, clock, signal } = this.#parts
    const open = connection()
    if (open === null) throw new TributaryError('aborted', 'stopped')
    const { said, answer } = await exchangeHello(open, identity, clock.nowMs(), signal, epochs)
    if (said === null) throw new TributaryError('unavailable', `the hub answers a hello with ${answer.status}`)
    return new Map(said.settled.map(({ epoch, settled }) => [epoch, settled]))
  }
}
