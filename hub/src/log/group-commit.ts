/**
 * Group commit: while one group is being written, those that arrive form the next one.
 *
 * One write is in flight at a time, so that groups are written in the order in which they formed. Each `add` settles with its own
 * result, or with the error of its group. A group is bounded by items and bytes.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export interface GroupBounds {
  readonly items: number
  readonly bytes: number
  /** A group that is not full waits this long for more before it is written. Default 0. */
  readonly lingerMs?: number
}

interface Waiting<T, R> {
  readonly item: T
  readonly bytes: number
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
}

export class GroupCommit<T, R> {
  private readonly write: (items: readonly T[]) => Promise<readonly R[]>
  private readonly bounds: GroupBounds
  private waiting: Waiting<T, R>[] = []
  private running: Promise<void> | null = null

  /** `write` returns one result an item, in order. */
  constructor(write: (items: readonly T[]) => Promise<readonly R[]>, bounds: GroupBounds) {
    this.write = write
    this.bounds = bounds
  }

  add(item: T, bytes: number): Promise<R> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, bytes, resolve, reject })
      this.running ??= this.run()
    })
  }

  /** Resolves when nothing is waiting. */
  async idle(): Promise<void> {
    await this.running
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0) {
      await this.linger()
      const group = this.take()
      try {
        const results = await this.write(group.map(({ item }) => item))
        for (const [index, { resolve }] of group.entries()) resolve(results[index] as R)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.running = null
  }

  private async linger(): Promise<void> {
    const { lingerMs = 0, items, bytes } = this.bounds
    const waitingBytes = this.waiting.reduce((sum, one) => sum + one.bytes, 0)
    if (lingerMs > 0 && this.waiting.length < items && waitingBytes < bytes) await sleep(lingerMs)
  }

  /** The oldest that fit the bounds; at least one. */
  private take(): Waiting<T, R>[] {
    let bytes = 0
    let count = 0
    for (const { bytes: more } of this.waiting) {
      bytes += more
      if (count > 0 && (count >= this.bounds.items || bytes > this.bounds.bytes)) break
      count++
    }
    return this.waiting.splice(0, count)
  }
}
