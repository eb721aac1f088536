/** Is everything acknowledged stored, or in the loss ledger? */
import type { LossRange } from '@tributary/shared/batch/batch'
import { Multiset } from '../../harness/multiset.ts'

export interface Account {
  readonly acknowledged: number
  readonly stored: number
  /** Acknowledged, and not stored. */
  readonly gone: number
  readonly ledgerExact: number
  readonly ledgerAtMost: number
  /** Stored more often than sent, or never sent. */
  readonly extra: number
  /** Nothing extra, and `gone` is what the ledger says: exactly, or with `exact: false` at most. */
  readonly balanced: boolean
}

interface Told {
  readonly sent: Multiset
  readonly acknowledged: Multiset
}

/** For a buffer of which everything that was ever accepted is also acknowledged, to any of the books. */
export function account(books: readonly Told[], stored: Multiset, losses: readonly LossRange[]): Account {
  const sent = union(books.map(book => book.sent))
  const acknowledged = union(books.map(book => book.acknowledged))
  const gone = surplus(acknowledged, stored)
  const extra = surplus(stored, sent)
  const sum = (exact: boolean) =>
    losses.filter(loss => loss.exact === exact).reduce((total, loss) => total + loss.readings, 0)
  const [ledgerExact, ledgerAtMost] = [sum(true), sum(false)]
  return {
    acknowledged: acknowledged.size,
    stored: stored.size,
    gone,
    ledgerExact,
    ledgerAtMost,
    extra,
    balanced: extra === 0 && ledgerExact <= gone && gone <= ledgerExact + ledgerAtMost,
  }
}

function union(sets: readonly Multiset[]): Multiset {
  const all = new Multiset()
  for (const set of sets) for (const [key, count] of set.counts) all.counts.set(key, (all.counts.get(key) ?? 0) + count)
  return all
}

/** How many of `a` are not in `b`. */
function surplus(a: Multiset, b: Multiset): number {
  let count = 0
  for (const [key, times] of a.counts) count += Math.max(0, times - (b.counts.get(key) ?? 0))
  return count
}
