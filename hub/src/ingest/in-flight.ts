/**
 * Bytes of request bodies that are being read or wait for the log. Beyond the bound ingest answers 503 at once: a slow log ends as
 * waiting agents, never as memory.
 */
import { TributaryError } from '@tributary/shared/errors'
import { spreadRetryAfterS } from './retry-after.ts'

export class InFlight {
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** 0 idle … 1 full. */
  get share(): number {
    return this.#bytes / this.#maxBytes
  }

  /** Throws `unavailable` when `bytes` more would be too many. */
  check(bytes: number): void {
    if (this.#bytes + bytes <= this.#maxBytes) return
    throw new TributaryError('unavailable', 'the hub is taking in as much as it can', {
      retryAfterS: spreadRetryAfterS(),
    })
  }

  /** Count `bytes` until `release`; throws `unavailable` when that is too many. */
  reserve(bytes: number): void {
    this.check(bytes)
    this.#bytes += bytes
  }

  release(bytes: number): void {
    this.#bytes -= bytes
  }
}
