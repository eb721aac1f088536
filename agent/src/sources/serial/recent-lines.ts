/**
 * The lines of one port that were stored last, so that a line sent again is acknowledged without storing it twice.
 *
 * A sender does not send line n + `window` before line n is acknowledged, so only so many are remembered. A number 1 after another one means that
 * the sender has started anew, and the numbers that follow are new; unless the payload is `identified` (carries its own time or
 * counter), an equal line 1 is then kept and counted as a maybe.
 */
import { type Receipt, reservedReceipts } from '../../buffer/buffer.ts'

/** How far a sender may be ahead of a line that is not acknowledged: as many receipts are reserved for it. */
export const window = reservedReceipts.each

export interface RecentLine {
  readonly digest: string
  stored: boolean
  /** Called once it is stored; never when it could not be. */
  waiting: (() => void)[]
}

export class RecentLines {
  readonly #lines = new Map<number, RecentLine>()
  #last = 0

  /** `restored`: the receipts of this port, oldest first. */
  constructor(restored: readonly Receipt[]) {
    for (const { id, digest } of restored.slice(-window)) this.put(id, { digest, stored: true, waiting: [] })
  }

  /** The copy that was heard before, or null for a new line. */
  find(n: number, digest: string): RecentLine | null {
    const line = this.#lines.get(n)
    return line?.digest === digest ? line : null
  }

  /** Line 1 came after another one. */
  startsAnew(n: number): boolean {
    return n === 1 && this.#last !== 1 && this.#last !== 0
  }

  clear(): void {
    this.#lines.clear()
  }

  put(n: number, line: RecentLine): void {
    this.#last = n
    this.#lines.delete(n)
    this.#lines.set(n, line)
    if (this.#lines.size <= window) return
    for (const oldest of this.#lines.keys()) {
      this.#lines.delete(oldest)
      return
    }
  }

  remove(n: number, line: RecentLine): void {
    if (this.#lines.get(n) === line) this.#lines.delete(n)
  }
}
