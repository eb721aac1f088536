/**
 * A transport carries messages to an agent and says which of them the agent has acknowledged.
 *
 * It resends until the acknowledgement comes, over as many connections as that takes. How many messages wait for theirs is
 * bounded: ask for `room` before each `send`. A transport without acknowledgements (QoS 0, plain lines) resolves `send` when the
 * bytes are written, and counts nothing as acknowledged.
 */
import type { SensorValue } from '../signals/emission.ts'

export interface Message {
  /** Counts the messages of one run from 1; links `sent` and `acked` in a record. */
  readonly id: number
  readonly device: string
  /** MQTT only; empty on a serial line. */
  readonly topic: string
  readonly payload: Uint8Array
  /** What an agent must store once it has acknowledged; empty for a malformed payload. */
  readonly readings: readonly SentReading[]
}

export interface SentReading {
  readonly device: string
  readonly metric: string
  readonly tsUs: number
  readonly value: SensorValue
}

export interface Counters {
  /** Messages handed to the transport. */
  readonly sent: number
  readonly acknowledged: number
  /** Times that a message was written again. */
  readonly resent: number
  /** Messages that wait, or waited at the end in vain, for their acknowledgement. */
  readonly unacknowledged: number
}

export interface Transport {
  /** `mqtt://127.0.0.1:1883 QoS 1`, `serial /dev/pts/3`. */
  readonly name: string
  /** Whether `send` resolves at an acknowledgement. */
  readonly acknowledges: boolean
  /** Resolves when the first message can be written. Throws when the other side refuses for good. */
  start(): Promise<void>
  /** Resolves when this device may send one more message; throws `aborted` once stopped. */
  room(device: string): Promise<void>
  /** Resolves at the acknowledgement; throws `aborted` when the transport is stopped before it. */
  send(message: Message): Promise<void>
  /** Take nothing new, wait up to `drainMs` for outstanding acknowledgements, then close. */
  stop(drainMs: number): Promise<void>
  counters(): Counters
}
