/**
 * Which rows came lately: one mark each half second over the last minute, by the monotonic clock of this process. Pure.
 *
 * Event times do not tell: a device's clock may be wrong, and its backlog old. After a restart nothing counts as fresh.
 */
const markEveryMs = 500
const keptMs = 60_000

export class Arrivals {
  private marks: { readonly row: number; readonly atMs: number }[] = []

  note(row: number, nowMs: number): void {
    const last = this.marks.at(-1)
    if (last && nowMs - last.atMs < markEveryMs) return
    this.marks = this.marks.filter(({ atMs }) => nowMs - atMs <= keptMs)
    this.marks.push({ row, atMs: nowMs })
  }

  /** The first row that came within `ageMs`, or up to half a second later; null when none did. */
  firstWithin(ageMs: number, nowMs: number): number | null {
    return this.marks.find(({ atMs }) => nowMs - atMs < ageMs)?.row ?? null
  }
}
