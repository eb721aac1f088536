/**
 * Where the boots of this machine stand in time, as far as readings of them may still have to be placed. Pure; kept by the buffer in
 * its state.
 *
 * - A boot that gained trust: exactly, by the anchor of that moment.
 * - A boot that is over and never gained it: uncertain. Its readings lie between the last time that was trusted before it and the start of
 *   the boot after it. They are placed as late as that allows: the boot's last reading at the end of the interval, the others before it by
 *   the boot's own clock, none before the interval. Several such boots in a row share their interval, one before the other.
 * - The running boot, while it has no trust: not yet.
 * - A boot that is not known any more (damage; more than `maxBoots`): uncertain, at the start of the first one that is known.
 */

import type { BootTrust } from './agent-clock.ts'
import { type Anchor, timeAt } from './anchor.ts'

export interface BootRecord {
  readonly boot: string
  /** The last trusted time before it, µs since 1970 UTC; 0 when there was none. */
  readonly afterUs: number
  /** Null while it has none. */
  readonly trust: BootTrust | null
  /** Of its readings that were stored unplaced: how many, the latest moment of its clock, and the row of the last one. 0 for none. */
  readonly readings: number
  readonly lastUs: number
  readonly lastRow: number
}

/** As it is stored. */
export interface BootTimesState {
  /** In the order in which they ran. */
  readonly boots: readonly BootRecord[]
  /** Rows up to this one are taken in. */
  readonly row: number
}

/** How a moment of a boot's clock becomes a time. */
export interface Placement {
  readonly anchor: Anchor
  readonly lowerUs: number
  readonly upperUs: number
  readonly certain: boolean
}

/** A gateway that boots daily out of everybody's reach fills it in nine months; then the first boots are known no more exactly. */
export const maxBoots = 256

/** A correction of the time by more is worth a write, and so is every confirmation after this long, µs. */
const worthUs = 50_000
const confirmEveryUs = 600e6

export class BootTimes {
  readonly current: string
  /** To be stored with the next write. */
  dirty = false
  /** What is stored is behind, but not so that it matters yet. */
  behind = false
  /** Rows after `row` may have unplaced readings that were not noted. */
  readonly mayHaveMore: boolean
  #stored: Anchor | null = null
  #boots: readonly BootRecord[]
  #row: number
  #placements = new Map<string, Placement | null>()

  constructor(state: BootTimesState | null, current: string) {
    this.current = current
    this.#boots = state?.boots ?? []
    this.#row = state?.row ?? 0
    this.mayHaveMore = !this.#boots.at(-1)?.trust?.certain
    this.#stored = this.#find(current)?.trust?.latest ?? null
    if (!this.#find(current)) this.#insert(current, this.#boots.length)
  }

  get state(): BootTimesState {
    return { boots: this.#boots, row: this.#row }
  }

  /** Rows up to this one are taken in. */
  get row(): number {
    return this.#row
  }

  get trust(): BootTrust | null {
    return this.#find(this.current)?.trust ?? null
  }

  /** The rate of this machine's clock as last measured, by any boot. */
  get rate(): number {
    return this.#boots.findLast(({ trust }) => trust?.certain)?.trust?.latest.rate ?? 0
  }

  /** The trusted time at a moment of the running boot, µs since 1970 UTC; null while it is not known. */
  timeUs(bootUs: number): number | null {
    const { trust } = this
    return trust?.certain ? timeAt(trust.latest, bootUs) : null
  }

  /** Stored without a place in time that still have none; those that were evicted since are counted in. */
  get unplacedReadings(): number {
    return this.#boots.reduce((sum, { boot, readings }) => (this.placementOf(boot) ? sum : sum + readings), 0)
  }

  /** The boot that ran before the running one was first seen. */
  get previous(): string | null {
    return this.#boots.findLast(({ boot }) => boot !== this.current)?.boot ?? null
  }

  /** Row `row` has unplaced readings of `boot`, the last of them at `lastUs`. */
  note(row: number, boot: string, readings: number, lastUs: number): void {
    // A boot that only its rows tell of is over: it came before the running one.
    const found = this.#find(boot) ?? this.#insert(boot, this.#boots.length - 1)
    this.behind = true
    const sum = found.readings + readings
    this.#replace(found, { ...found, readings: sum, lastUs: Math.max(found.lastUs, lastUs), lastRow: row })
    this.#row = row
  }

  /** The running boot has a place in time. Returns whether anything can be placed by it that could not before. */
  gain(trust: BootTrust): boolean {
    const found = this.#find(this.current)
    if (!found || (found.trust?.certain && !trust.certain)) return false
    const known = found.trust?.certain ?? false
    this.#replace(found, { ...found, trust: known && found.trust ? { ...trust, placing: found.trust.placing } : trust })
    if (!known || this.#stored === null || differ(this.#stored, trust.latest)) {
      this.#stored = trust.latest
      this.behind = true
      this.dirty ||= !known
    }
    return !known
  }

  /** All of it was. */
  stored(): void {
    if (this.dirty) this.behind = false
    this.dirty = false
  }

  /** Take back what `gain` changed, which could not be stored. */
  restore(state: BootTimesState): void {
    this.#boots = state.boots
    this.#row = state.row
    this.#placements.clear()
  }

  /** Boots whose readings all stood below this row are not needed any more. */
  forget(firstRow: number): void {
    const needed = this.#boots.findIndex(({ boot, lastRow }) => boot === this.current || lastRow >= firstRow)
    if (needed <= 0) return
    this.#boots = this.#boots.slice(needed)
    this.dirty = true
  }

  /** Null: not yet. */
  placementOf(boot: string): Placement | null {
    const known = this.#placements.get(boot)
    if (known !== undefined) return known
    const placement = this.#place(boot)
    this.#placements.set(boot, placement)
    return placement
  }

  #place(boot: string): Placement | null {
    const index = this.#boots.findIndex(record => record.boot === boot)
    const record = this.#boots[index]
    if (record?.trust)
      return { anchor: record.trust.placing, lowerUs: 0, upperUs: Infinity, certain: record.trust.certain }
    const endUs = this.#startAfter(index)
    if (endUs === null) return null
    const { afterUs = 0, lastUs = 0 } = record ?? {}
    const lowerUs = Math.min(afterUs, endUs)
    return { anchor: { bootUs: lastUs, timeUs: endUs, rate: 0 }, lowerUs, upperUs: endUs, certain: false }
  }

  /** When the boot after the one at `index` began at the latest, by what is known of those that follow; null when nothing is. */
  #startAfter(index: number): number | null {
    const next = this.#boots[index + 1]
    if (!next) return null
    if (next.trust) return timeAt(next.trust.placing, 0)
    const endUs = this.#startAfter(index + 1)
    return endUs && Math.max(next.afterUs, endUs - next.lastUs)
  }

  #find(boot: string): BootRecord | undefined {
    return this.#boots.find(record => record.boot === boot)
  }

  #insert(boot: string, at: number): BootRecord {
    const before = this.#boots.slice(0, at)
    const trusted = before.map(({ trust, afterUs }) => (trust?.certain ? trust.latest.timeUs : afterUs))
    const record = { boot, afterUs: Math.max(0, ...trusted), trust: null, readings: 0, lastUs: 0, lastRow: 0 }
    this.#boots = this.#boots.toSpliced(at, 0, record).slice(-maxBoots)
    this.#placements.clear()
    this.dirty = true
    return record
  }

  #replace(old: BootRecord, record: BootRecord): void {
    this.#boots = this.#boots.map(other => (other === old ? record : other))
    this.#placements.clear()
  }
}

/** Is the later one worth a write? */
function differ(before: Anchor, after: Anchor): boolean {
  const movedUs = Math.abs(timeAt(before, after.bootUs) - after.timeUs)
  return movedUs > worthUs || after.bootUs - before.bootUs > confirmEveryUs
}
