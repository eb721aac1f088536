/**
 * Whether there is room to store: free space of the file system that holds the database, looked at every few seconds.
 *
 * Below `minFreeBytes` the store pauses (its records stay in the log) and ingest answers 503, long before Postgres itself would
 * have to stop on a full disk. A database on another machine cannot be watched from here: without a path it is always taken as fine.
 */
import { statfs } from 'node:fs/promises'
import { TributaryError } from '@tributary/shared/errors'

export interface DiskGuardOptions {
  /** A path on that file system; null when it is on another machine. */
  readonly path: string | null
  /** Default 512 MiB. */
  readonly minFreeBytes?: number
}

const freshMs = 3000

export class DiskGuard {
  private readonly path: string | null
  private readonly minFreeBytes: number
  private freeBytes = Number.POSITIVE_INFINITY
  private lookedAt = Number.NEGATIVE_INFINITY

  constructor({ path, minFreeBytes = 512 * 1024 ** 2 }: DiskGuardOptions) {
    this.path = path
    this.minFreeBytes = minFreeBytes
  }

  /** At most 3 s old. */
  async isOk(): Promise<boolean> {
    if (this.path !== null && performance.now() - this.lookedAt > freshMs) {
      const { bavail, bsize } = await statfs(this.path)
      this.freeBytes = bavail * bsize
      this.lookedAt = performance.now()
    }
    return this.freeBytes >= this.minFreeBytes
  }

  /** Throws `storage-full`, retryable. */
  async check(): Promise<void> {
    if (await this.isOk()) return
    throw new TributaryError(
      'storage-full',
      `${this.path} has ${this.freeBytes} bytes free, the bound is ${this.minFreeBytes}`,
      {
        retryAfterS: 30,
        hint: 'free space, lower the retention, or move the data folder to a larger disk',
      },
    )
  }
}
