/**
 * The unsealed readings as ranges of positions: disjoint, in order, the last one open at its end. Pure.
 *
 * A position is a place between two readings. The open range is the live lane: commits add to it, live seals take from its start.
 * The closed ones behind it are the backlog, oldest first; there are none most of the time. `split` closes the open range and begins
 * a new one, so that what comes from then on need not wait for what is there. A closed range that is used up disappears.
 *
 * What was sealed is known by the interval [first, next) that each stored batch names, so a start that finds batches newer than its
 * state takes their intervals out, in any order and of whichever lane (`subtract`).
 */

/** Before it stand the rows below `row`, and `offset` readings of `row`. */
export interface Cursor {
  readonly row: number
  readonly offset: number
}

export interface UnsealedRange {
  from: Cursor
  /** Exclusive; null for the open range. */
  to: Cursor | null
  /** In [from, to). */
  readings: number
}

/** Ranges in all; above it there is no further split, and the live lane goes on in order. */
export const maxRanges = 64

const origin: Cursor = { row: 0, offset: 0 }

export function isBefore(a: Cursor, b: Cursor): boolean {
  return a.row < b.row || (a.row === b.row && a.offset < b.offset)
}

/** Does the range hold a position of the rows from `firstRow` to `lastRow`? */
export function touches(range: UnsealedRange, firstRow: number, lastRow: number): boolean {
  return range.from.row <= lastRow && (range.to === null || isBefore({ row: firstRow, offset: 0 }, range.to))
}

/** Does the range hold every position of these rows? */
export function holds(range: UnsealedRange, firstRow: number, lastRow: number): boolean {
  return (
    !isBefore({ row: firstRow, offset: 0 }, range.from) &&
    (range.to === null || !isBefore(range.to, { row: lastRow + 1, offset: 0 }))
  )
}

/** Which of the readings of row `n` stand in the range: from `first` to the one before `behind`. */
export function indicesIn(
  { from, to }: Pick<UnsealedRange, 'from' | 'to'>,
  n: number,
  readings: number,
): { readonly first: number; readonly behind: number } {
  const first = n < from.row ? readings : n === from.row ? Math.min(from.offset, readings) : 0
  const behind = to === null || n < to.row ? readings : n === to.row ? Math.min(to.offset, readings) : 0
  return { first, behind }
}

export class UnsealedRanges {
  private ranges: UnsealedRange[]

  /** `behind` in order, each before the next; `live` is the open one. */
  constructor(behind: readonly UnsealedRange[], live: { readonly from: Cursor; readonly readings: number }) {
    this.ranges = [...behind.map(range => ({ ...range })), { ...live, to: null }]
  }

  get live(): UnsealedRange {
    return this.ranges.at(-1) as UnsealedRange
  }

  /** The closed ranges, oldest first. */
  get behind(): readonly UnsealedRange[] {
    return this.ranges.slice(0, -1)
  }

  get all(): readonly UnsealedRange[] {
    return this.ranges
  }

  get readings(): number {
    return this.ranges.reduce((sum, range) => sum + range.readings, 0)
  }

  /** Readings from the start of a range on are sealed, or passed over. */
  advance(range: UnsealedRange, next: Cursor, readings: number): void {
    range.from = next
    range.readings -= readings
    if (isUsedUp(range)) this.remove(range)
  }

  /** Close the open range at `at`, which has `readingsAfter` behind it in that range. False when nothing would be split off. */
  split(at: Cursor, readingsAfter: number): boolean {
    const { live } = this
    const closes = isBefore(live.from, at) && live.readings > readingsAfter
    if (this.ranges.length >= maxRanges || !closes) return false
    this.ranges.push({ from: at, to: null, readings: readingsAfter })
    live.to = at
    live.readings -= readingsAfter
    return true
  }

  /**
   * Take out [first, next), in which a batch of `readings` was sealed; with `first` null everything before `next`. `after` counts the
   * readings of [next, end of its range). Returns the readings left in front of the interval in its range: none, unless batches
   * that were sealed before it are missing.
   */
  subtract(first: Cursor | null, next: Cursor, readings: number, after: (rest: UnsealedRange) => number): number {
    const start = first ?? origin
    let left = 0
    for (const range of this.ranges.filter(one => isBefore(one.from, next) && endsAfter(one, start))) {
      if (!isBefore(range.from, start)) {
        if (endsAfter(range, next)) this.advance(range, next, Math.min(range.readings, readings))
        else this.remove(range)
        continue
      }
      const rest: UnsealedRange = { from: next, to: range.to, readings: 0 }
      rest.readings = after(rest)
      range.to = start
      range.readings = Math.max(0, range.readings - readings - rest.readings)
      left += range.readings
      if (!isUsedUp(rest)) this.ranges.splice(this.ranges.indexOf(range) + 1, 0, rest)
    }
    return left
  }

  /** Rows are gone: no range begins or ends among them any more. Their readings were taken off by the caller. */
  trim(firstRow: number, lastRow: number): void {
    const start = { row: firstRow, offset: 0 }
    const end = { row: lastRow + 1, offset: 0 }
    for (const range of [...this.ranges]) {
      if (!isBefore(range.from, start) && isBefore(range.from, end)) range.from = end
      if (range.to !== null && isBefore(start, range.to) && isBefore(range.to, end)) range.to = start
      if (isUsedUp(range)) this.remove(range)
    }
  }

  private remove(range: UnsealedRange): void {
    this.ranges = this.ranges.filter(other => other !== range)
  }
}

function endsAfter(range: UnsealedRange, at: Cursor): boolean {
  return range.to === null || isBefore(at, range.to)
}

function isUsedUp(range: UnsealedRange): boolean {
  return range.to !== null && !isBefore(range.from, range.to)
}
