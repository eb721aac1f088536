/**
 * One line of a port from bytes to commit: framing, redelivery, decoding, buffer.
 *
 * A numbered line is acknowledged after its commit and in no other place; one that cannot be stored is not acknowledged and comes
 * again. A plain line that cannot be stored is lost, and counted in `dropped`: its sender cannot be told. A line that does not
 * decode is stored as a dead letter and acknowledged.
 */
import type { Message } from '../../buffer/buffer.ts'
import type { Decoder } from '../../decode/decoder.ts'
import { isFailure } from '../../decode/format.ts'
import type { Stamp } from '../../time/agent-clock.ts'
import { arrivalOf } from '../arrival.ts'
import { messageDigest } from '../message-digest.ts'
import type { Accept } from '../source.ts'
import type { Frame, Framing } from './framing/framing.ts'
import type { Line } from './line-splitter.ts'
import type { RecentLine, RecentLines } from './recent-lines.ts'

export interface LineIntakeOptions {
  /** `serial:<name>`, also the scope of its receipts. */
  readonly source: string
  readonly path: string
  readonly device: string | null
  readonly maxLineBytes: number
  readonly framing: Framing
  readonly recent: RecentLines
  readonly accept: Accept
  readonly decoder: Decoder
  readonly stamp: () => Stamp
  readonly acknowledge: (n: number) => void
  readonly sabotage: { readonly ackBeforeCommit: boolean; readonly noDuplicateCheck: boolean }
}

export class LineIntake {
  messages = 0
  deadLettered = 0
  duplicates = 0
  /** Lines whose framing or CRC was wrong. */
  damaged = 0
  /** Plain lines that could not be stored. */
  dropped = 0
  /** Lines handed to the buffer and not yet committed. */
  uncommitted = 0
  readonly #options: LineIntakeOptions

  constructor(options: LineIntakeOptions) {
    this.#options = options
  }

  /** `settled` is called when the line needs no more memory. */
  take(line: Line, settled: () => void): void {
    const { framing, maxLineBytes } = this.#options
    const tooLong = line.length > maxLineBytes
    const frame = tooLong && framing.name !== 'lines' ? null : framing.parse(line.bytes.subarray(0, maxLineBytes))
    if (frame === null) {
      this.damaged++
      return
    }
    this.messages++
    const digest = frame.number === null ? '' : messageDigest(frame.payload, 0, 0, 0, frame.payload.length)
    const received = this.#options.stamp()
    const message = this.#messageOf(
      frame,
      digest,
      tooLong ? `line of ${line.length} bytes; at most ${maxLineBytes} are decoded` : null,
      received,
    )
    if (message !== null) this.#store(frame, digest, message, settled)
  }

  /** Null when it was stored before. */
  #messageOf(frame: Frame, digest: string, tooLong: string | null, received: Stamp): Message | null {
    const { decoder, device, source, path } = this.#options
    const decoded = tooLong === null ? decoder.line(device, frame.payload, received.tsUs) : { reason: tooLong }
    const failed = isFailure(decoded)
    const told = this.#toldBefore(frame, digest, !failed && decoded.identified)
    if (told === 'yes') return null
    if (failed) this.deadLettered++
    return {
      readings: failed ? [] : decoded.readings,
      deadLetter: failed
        ? {
            source,
            origin: path,
            reason: decoded.reason,
            payload: Uint8Array.from(frame.payload),
            ...arrivalOf(received),
          }
        : null,
      receipt: frame.number === null ? null : { scope: source, id: frame.number, digest },
      maybeDuplicate: told === 'maybe',
      unplaced: !received.placed && !failed && !decoded.timed,
    }
  }

  #toldBefore({ number }: Frame, digest: string, identified: boolean): 'yes' | 'no' | 'maybe' {
    const { recent, acknowledge, sabotage } = this.#options
    if (number === null || sabotage.noDuplicateCheck) return 'no'
    const before = recent.find(number, digest)
    const anew = recent.startsAnew(number)
    if (before !== null && (identified || !anew)) {
      this.duplicates++
      if (before.stored) acknowledge(number)
      else before.waiting.push(() => acknowledge(number))
      return 'yes'
    }
    if (anew) recent.clear()
    return before === null ? 'no' : 'maybe'
  }

  #store({ number }: Frame, digest: string, message: Message, settled: () => void): void {
    const { accept, recent, acknowledge, sabotage } = this.#options
    const line: RecentLine = { digest, stored: false, waiting: [] }
    if (number !== null) recent.put(number, line)
    if (number !== null && sabotage.ackBeforeCommit) acknowledge(number)
    this.uncommitted++
    accept(message, error => {
      this.uncommitted--
      if (error !== null && number !== null) recent.remove(number, line)
      if (error !== null && number === null) this.dropped++
      if (error === null && number !== null) {
        line.stored = true
        if (!sabotage.ackBeforeCommit) acknowledge(number)
        for (const acknowledgeAgain of line.waiting.splice(0)) acknowledgeAgain()
      }
      settled()
    })
  }
}
