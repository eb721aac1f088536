/**
 * A payload format: from bytes to readings, or to the reason why not.
 *
 * How to add one: write a module with one `Format`, put it into the table of decoder.ts, name it in a route of the
 * configuration (`decode.routes`). A format is pure and never throws on any payload; it makes all readings of a payload or none.
 * `decoder.ts` has already bounded the payload's length.
 */
import type { Reading } from '@tributary/shared/reading'
import type { SeriesNames } from './series-names.ts'

/** What the topic or the port already says about a payload. */
export interface Address {
  readonly device: string | null
  readonly metric: string | null
}

export interface Decoded {
  readonly readings: readonly Reading[]
  /**
   * The payload carries its own time or counter: another payload with equal bytes is the same measurement told again. Without
   * one it may as well be the next measurement that happens to be equal.
   */
  readonly identified: boolean
  /** The times are the payload's own, not that of its receipt. */
  readonly timed: boolean
}

/** Why a payload is not readings: a phrase for the person who looks at the dead letter. */
export interface DecodeFailure {
  readonly reason: string
}

export interface Format {
  readonly name: string
  /** `receivedAtUs` is the time of a reading that carries none. */
  decode(address: Address, payload: Buffer, receivedAtUs: number, names: SeriesNames): Decoded | DecodeFailure
}

export function isFailure(result: object): result is DecodeFailure {
  return 'reason' in result
}
