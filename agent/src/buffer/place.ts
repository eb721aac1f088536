/**
 * Places the readings of a row in time, for whoever reads rows to seal or fold them. Pure.
 *
 * What was stamped at receipt while the clock was not trusted stands in its row by the clock of its boot (`Mark.unplaced`); times that
 * came from a payload are left as they are. Within a boot the order is kept. A time that nobody vouches for makes a good reading
 * `uncertain`.
 */
import { Quality } from '@tributary/shared/reading'
import { timeAt } from '../time/anchor.ts'
import type { BootTimes, Placement } from '../time/boot-times.ts'
import { Mark, type RowColumns } from './row-codec.ts'

const qualityBits = 3

/** The columns themselves when nothing is unplaced; null while the place of their boot in time is not known. */
export function place(times: BootTimes, columns: RowColumns): RowColumns | null {
  if (columns.boot === '') return columns
  const placement = times.placementOf(columns.boot)
  if (placement === null) return null
  const tsUs = columns.tsUs.slice()
  const tags = columns.tags.slice()
  const marks = columns.marks.slice()
  for (let index = 0; index < columns.readings; index++) {
    const mark = marks[index] as number
    if ((mark & Mark.unplaced) === 0) continue
    tsUs[index] = placed(placement, tsUs[index] as number)
    marks[index] = mark & ~Mark.unplaced
    const tag = tags[index] as number
    if (!placement.certain && (tag & qualityBits) === Quality.good) tags[index] = tag | Quality.uncertain
  }
  return { ...columns, tsUs, tags, marks, boot: '' }
}

/** Take in that row `n` was stored: what is unplaced in it makes its boot known. */
export function noteUnplaced(times: BootTimes, n: number, { boot, readings, marks, tsUs }: RowColumns): void {
  if (boot === '') return
  let unplaced = 0
  let lastUs = 0
  for (let index = 0; index < readings; index++) {
    if (((marks[index] as number) & Mark.unplaced) === 0) continue
    unplaced++
    lastUs = Math.max(lastUs, tsUs[index] as number)
  }
  times.note(n, boot, unplaced, lastUs)
}

/** The time at a moment of the boot's clock, µs since 1970 UTC. */
export function placed({ anchor, lowerUs, upperUs }: Placement, bootUs: number): number {
  return Math.max(lowerUs, Math.min(upperUs, timeAt(anchor, bootUs)))
}
