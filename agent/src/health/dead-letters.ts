/**
 * Looking at dead letters, dropping them, and decoding them again after a route or a format was put right.
 *
 * A replayed letter is stored like a message just heard, with its own time of arrival, and then dropped: a crash between the two
 * leaves the letter, and replaying it again stores its readings twice. What still does not decode stays, and so does what would need a time
 * of arrival that is not known yet; where that is uncertain, so are the readings.
 */
import { Quality, type Reading } from '@tributary/shared/reading'
import type { Buffer as ReadingBuffer, StoredDeadLetter } from '../buffer/buffer.ts'
import type { Decoder } from '../decode/decoder.ts'

export interface ReplayResult {
  /** Letters decoded, stored and dropped. */
  readonly replayed: number
  readonly readings: number
  readonly failed: readonly { readonly id: number; readonly reason: string }[]
}

export interface DeadLetters {
  list(limit: number): Promise<readonly StoredDeadLetter[]>
  drop(ids: readonly number[]): Promise<number>
  replay(ids: readonly number[]): Promise<ReplayResult>
}

/** More than a buffer keeps. */
export const allLetters = 1_000_000

function asUncertain(reading: Reading): Reading {
  return reading.quality === Quality.good ? { ...reading, quality: Quality.uncertain } : reading
}

/** `deviceOf`: the device of a serial port, by the name of its source. */
export function createDeadLetters(
  buffer: Pick<ReadingBuffer, 'accept' | 'deadLetters' | 'dropDeadLetters'>,
  decoder: Decoder,
  deviceOf: (source: string) => string | null,
): DeadLetters {
  async function replayOne(letter: StoredDeadLetter): Promise<number | string> {
    const payload = Buffer.from(letter.payload)
    const decoded = letter.source.startsWith('serial:')
      ? decoder.line(deviceOf(letter.source), payload, letter.receivedAtUs)
      : decoder.topic(letter.origin, payload, letter.receivedAtUs)
    if ('reason' in decoded) return decoded.reason
    if (letter.arrival === 'unplaced' && !decoded.timed)
      return 'its time of arrival is not known yet; replay it once the clock is trusted'
    const uncertain = letter.arrival === 'uncertain' && !decoded.timed
    const readings = uncertain ? decoded.readings.map(asUncertain) : decoded.readings
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    buffer.accept({ readings, deadLetter: null, receipt: null, maybeDuplicate: false }, error =>
      error === null ? resolve() : reject(error),
    )
    await promise
    await buffer.dropDeadLetters([letter.id])
    return decoded.readings.length
  }

  return {
    list: limit => buffer.deadLetters(limit),
    drop: ids => buffer.dropDeadLetters(ids),
    async replay(ids) {
      const wanted = new Set(ids)
      const failed: { id: number; reason: string }[] = []
      let replayed = 0
      let readings = 0
      for (const letter of await buffer.deadLetters(allLetters)) {
        if (!wanted.has(letter.id)) continue
        wanted.delete(letter.id)
        const result = await replayOne(letter)
        if (typeof result === 'string') failed.push({ id: letter.id, reason: result })
        else {
          replayed++
          readings += result
        }
      }
      for (const id of wanted) failed.push({ id, reason: 'no such dead letter' })
      return { replayed, readings, failed }
    },
  }
}
