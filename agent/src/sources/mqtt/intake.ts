/**
 * One published message from packet to commit: decode, recognise a redelivery, hand to the buffer, report when it is stored.
 *
 * `done(null, receipt)` means that the message is committed, or was before: only then may it be acknowledged. What does not
 * decode is committed as a dead letter, and is acknowledged like a reading: the sensor could do no better by sending it again.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { DeadLetter, Message } from '../../buffer/buffer.ts'
import type { Decoder } from '../../decode/decoder.ts'
import { type DecodeFailure, isFailure } from '../../decode/format.ts'
import type { Stamp } from '../../time/agent-clock.ts'
import { arrivalOf } from '../arrival.ts'
import type { Accept } from '../source.ts'
import type { PublishPacket } from './publish-packet.ts'
import { type HeldReceipt, judge, type ReceiptBook, type ScopeReceipts } from './receipt-book.ts'

/** Payload bytes kept of a dead letter that is too long to be decoded anyway. */
const truncatedBytes = 4096

export interface IntakeOptions {
  /** Of a dead letter: `mqtt`, `broker:<name>`. */
  readonly source: string
  readonly accept: Accept
  readonly decoder: Decoder
  readonly receipts: ReceiptBook
  readonly maxPayloadBytes: number
  readonly sabotage: Sabotage
}

/** Breaks a promise on purpose, so that a proof can show that it would notice. */
export interface Sabotage {
  /** Acknowledge at once, not after the commit. */
  readonly ackBeforeCommit: boolean
  /** Take every redelivery for a new message. */
  readonly noDuplicateCheck: boolean
}

export type Stored = (error: TributaryError | null, receipt: HeldReceipt | null) => void

export class Intake {
  messages = 0
  deadLettered = 0
  duplicates = 0
  readonly #options: IntakeOptions

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** `scope` is null where a redelivery cannot be recognised: QoS 0, or a client without a name of its own. */
  take(packet: PublishPacket, scope: ScopeReceipts | null, received: Stamp, done: Stored): void {
    const { source, accept, decoder, maxPayloadBytes, sabotage } = this.#options
    this.messages++
    const decoded = packet.cutOff > 0 ? tooLong(packet) : decoder.topic(packet.topic, packet.payload, received.tsUs)
    const failed = isFailure(decoded)
    let maybeDuplicate = false
    if (scope !== null && packet.qos !== 0 && !sabotage.noDuplicateCheck) {
      const held = scope.get(packet.id)
      const judgement =
        held === undefined ? 'new' : judge(held, packet.qos, packet.dup, packet.digest, !failed && decoded.identified)
      if (held !== undefined && (judgement === 'duplicate' || judgement === 'pending')) {
        this.duplicates++
        if (judgement === 'duplicate') done(null, held)
        else awaitFirst(held, done)
        return
      }
      maybeDuplicate = judgement === 'maybe-duplicate'
    }
    if (failed) this.deadLettered++
    const message: Message = {
      readings: failed ? [] : decoded.readings,
      deadLetter: failed ? deadLetterOf(source, packet, decoded.reason, maxPayloadBytes, received) : null,
      receipt: scope === null ? null : { scope: scope.name, id: packet.id, digest: packet.digest },
      maybeDuplicate,
      unplaced: !received.placed && !failed && !decoded.timed,
    }
    const receipt: HeldReceipt | null =
      scope === null ? null : { digest: packet.digest, state: 'pending', waiting: null }
    if (scope !== null && receipt !== null) scope.put(packet.id, receipt)
    if (sabotage.ackBeforeCommit) done(null, receipt)
    accept(message, error => {
      if (receipt !== null) settle(receipt, error === null)
      if (error !== null && receipt !== null) scope?.remove(packet.id, receipt)
      if (!sabotage.ackBeforeCommit) done(error, receipt)
    })
  }
}

function settle(receipt: HeldReceipt, stored: boolean): void {
  if (stored && receipt.state === 'pending') receipt.state = 'stored'
  const { waiting } = receipt
  receipt.waiting = null
  if (waiting !== null) for (const tell of waiting) tell(stored)
}

function awaitFirst(held: HeldReceipt, done: Stored): void {
  held.waiting ??= []
  held.waiting.push(stored => done(stored ? null : notStored, held))
}

const notStored = new TributaryError('storage', 'the first copy of the message could not be stored')

function tooLong({ payload, cutOff }: PublishPacket): DecodeFailure {
  return { reason: `payload of ${payload.length + cutOff} bytes; only ${payload.length} of them are taken` }
}

function deadLetterOf(
  source: string,
  packet: PublishPacket,
  reason: string,
  maxPayloadBytes: number,
  received: Stamp,
): DeadLetter {
  const kept =
    packet.payload.length > maxPayloadBytes
      ? packet.payload.subarray(0, Math.min(truncatedBytes, maxPayloadBytes))
      : packet.payload
  return { source, origin: packet.topic, reason, payload: Uint8Array.from(kept), ...arrivalOf(received) }
}
