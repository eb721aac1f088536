/**
 * The conflicts that the hub told of, each to be looked into once: it tells of them in every answer until its books say that the batch
 * was sealed again, and of those of a clone of this gateway too.
 */
import type { BatchConflict } from '@tributary/shared/protocol'

/** About 200 bytes each. Above it all are forgotten: looking again costs a look into a file. */
const maxKnown = 1000

export class ToldConflicts {
  readonly #known = new Set<string>()

  fresh(told: readonly BatchConflict[]): BatchConflict[] {
    return told.filter(conflict => !this.#known.has(keyOf(conflict)))
  }

  done(conflict: BatchConflict): void {
    if (this.#known.size >= maxKnown) this.#known.clear()
    this.#known.add(keyOf(conflict))
  }
}

function keyOf({ epoch, seq, digest }: BatchConflict): string {
  return `${epoch}/${seq}/${digest}`
}
