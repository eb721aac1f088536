/**
 * What can be set about the buffer, with defaults and bounds.
 *
 * Everything that the buffer keeps is bounded here: bytes on disk, age, receipts, dead letters, bytes held in memory. A value out of
 * its bounds is refused with `config`, not corrected.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Policy } from '../aggregate/policy.ts'

/** What the data folder stands on; decides how often a small group of readings may cost a commit (8–10 kB of flash each). */
export type StorageProfile = 'sd' | 'ssd' | 'ram'

/** Least distance between two commits of groups that are not full, ms. */
export const windowMsOf: Readonly<Record<StorageProfile, number>> = { sd: 100, ssd: 5, ram: 5 }

export interface BufferConfig {
  /** Data folder; made with mode 0700 when it is missing. */
  readonly folder: string
  /** Default `ssd`. */
  readonly storage: StorageProfile
  /** Overrides the profile's window; 0 … 10,000 ms. */
  readonly windowMs: number
  /** A group of so many readings is committed without waiting for the window; 1 … 100,000. */
  readonly maxGroupReadings: number
  /** All files of the buffer together; at least 1 MiB. Default 1 GiB. */
  readonly maxBytes: number
  /** One file; 64 KiB … an eighth of `maxBytes`. Default 16 MiB, or that eighth when it is less. */
  readonly fileBytes: number
  /** Readings not sent within this time are evicted, ms. Default 365 days. */
  readonly maxAgeMs: number
  /**
   * Length of the windows to which unsent raw readings are reduced before their file is given up, ms; 1000 … 7 days. Default null: they
   * are evicted.
   */
  readonly thinToMs: number | null
  /** Evict while the file system has less free than this, bytes. Default 64 MiB. */
  readonly minFreeBytes: number
  /** How long a copy that the hub has acknowledged is kept, ms. Default 24 h. */
  readonly copyMaxAgeMs: number
  /** Share of `maxBytes` that acknowledged copies may take; 0 … 1. Default 0.25. */
  readonly copyShare: number
  /** Messages accepted and not committed, bytes in memory; above it `accept` fails. Default 16 MiB. */
  readonly maxHeldBytes: number
  /** After so long without a commit that works, publishers are refused, ms. Default 2000. */
  readonly failAfterMs: number
  /** Dead letters kept; the oldest go first. Default 1000. */
  readonly maxDeadLetters: number
  /** Payload bytes of dead letters kept; at most, and by default, a quarter of `fileBytes`, by default no more than 1 MiB. */
  readonly maxDeadLetterBytes: number
  /**
   * Receipts kept, shared evenly between their scopes; of one scope the oldest are forgotten first. At most one for every 64 bytes
   * of `fileBytes`, since they move along into every new file; default that, but no more than 20,000.
   */
  readonly maxReceipts: number
  /** Kept free for the eviction of a full disk, bytes; 0 for none. Default 4 MiB. */
  readonly ballastBytes: number
  /** What is done with which readings; the first that matches holds. Default none: all are sent as they are. */
  readonly policies: readonly Policy[]
  /** Memory of open windows; above it those open longest close early. At most a quarter of `fileBytes`; default that, no more than 4 MiB. */
  readonly maxOpenBytes: number
  /** Run SQLite in a worker thread, so that a slow disk never blocks the event loop. Default true. */
  readonly worker: boolean
}

const MiB = 1024 * 1024

/** Fill in the defaults and check the bounds. */
export function bufferConfig(given: Partial<BufferConfig> & { readonly folder: string }): BufferConfig {
  const storage = given.storage ?? 'ssd'
  const maxBytes = given.maxBytes ?? 1024 * MiB
  const fileBytes = given.fileBytes ?? Math.min(16 * MiB, Math.floor(maxBytes / 8))
  const config: BufferConfig = {
    storage,
    windowMs: windowMsOf[storage],
    maxGroupReadings: 1000,
    maxBytes,
    fileBytes,
    maxAgeMs: 365 * 24 * 3600_000,
    thinToMs: null,
    minFreeBytes: 64 * MiB,
    copyMaxAgeMs: 24 * 3600_000,
    copyShare: 0.25,
    maxHeldBytes: 16 * MiB,
    failAfterMs: 2000,
    maxDeadLetters: 1000,
    maxDeadLetterBytes: Math.min(MiB, Math.floor(fileBytes / 4)),
    maxReceipts: Math.min(20_000, Math.floor(fileBytes / 64)),
    ballastBytes: 4 * MiB,
    policies: [],
    maxOpenBytes: Math.min(4 * MiB, Math.floor(fileBytes / 4)),
    worker: true,
    ...given,
  }
  within('windowMs', config.windowMs, 0, 10_000)
  within('maxGroupReadings', config.maxGroupReadings, 1, 100_000)
  within('maxBytes', config.maxBytes, MiB, 2 ** 50)
  within('fileBytes', config.fileBytes, 64 * 1024, Math.floor(config.maxBytes / 8))
  within('maxAgeMs', config.maxAgeMs, 1, Number.MAX_SAFE_INTEGER)
  if (config.thinToMs !== null) within('thinToMs', config.thinToMs, 1000, 7 * 24 * 3600_000)
  within('minFreeBytes', config.minFreeBytes, 0, 2 ** 50)
  within('copyMaxAgeMs', config.copyMaxAgeMs, 0, Number.MAX_SAFE_INTEGER)
  within('copyShare', config.copyShare, 0, 1)
  within('maxHeldBytes', config.maxHeldBytes, 1024, 2 ** 32)
  within('failAfterMs', config.failAfterMs, 0, 3600_000)
  within('maxDeadLetters', config.maxDeadLetters, 0, 1_000_000)
  within('maxDeadLetterBytes', config.maxDeadLetterBytes, 0, Math.floor(config.fileBytes / 4))
  within('maxReceipts', config.maxReceipts, 0, Math.floor(config.fileBytes / 64))
  within('maxOpenBytes', config.maxOpenBytes, 0, Math.floor(config.fileBytes / 4))
  within('ballastBytes', config.ballastBytes, 0, 2 ** 32)
  return config
}

function within(name: keyof BufferConfig, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return
  throw new TributaryError('config', `buffer.${name} is ${value}; it must be between ${low} and ${high}`)
}
