/** The series that somebody looks at: each is asked for once, however many look at it. */
import type { Pool } from 'pg'
import { markSeries, readNewPoints, type SeriesMark } from '../../query/new-points.ts'
import { eventBytes } from './event-stream.ts'

interface Watched {
  watchers: number
  mark: SeriesMark
}

export interface SeriesEvent {
  readonly seriesId: number
  readonly bytes: Uint8Array
}

export class SeriesWatch {
  readonly #pool: Pool
  readonly #now: () => number
  readonly #watched = new Map<number, Watched>()

  constructor(pool: Pool, now: () => number) {
    this.#pool = pool
    this.#now = now
  }

  /** Whatever is stored of these once this has resolved is found by `poll`. */
  async add(seriesIds: readonly number[]): Promise<void> {
    const marks = await markSeries(this.#pool, seriesIds, this.#now())
    for (const mark of marks) {
      const known = this.#watched.get(mark.seriesId)
      if (known) known.watchers += 1
      else this.#watched.set(mark.seriesId, { watchers: 1, mark })
    }
  }

  /** After an `add` of the same. */
  remove(seriesIds: readonly number[]): void {
    for (const id of seriesIds) {
      const known = this.#watched.get(id)
      if (known === undefined) continue
      known.watchers -= 1
      if (known.watchers === 0) this.#watched.delete(id)
    }
  }

  async poll(): Promise<SeriesEvent[]> {
    const asked = [...this.#watched.values()]
    const found = await readNewPoints(
      this.#pool,
      asked.map(({ mark }) => mark),
      this.#now(),
    )
    return found.flatMap(({ mark, points }) => {
      const { seriesId } = mark
      const watched = this.#watched.get(seriesId)
      // Left and taken up again meanwhile: its mark is newer.
      if (watched === undefined || !asked.includes(watched)) return []
      watched.mark = mark
      if (points === null) return [{ seriesId, bytes: eventBytes('refresh', { seriesId }) }]
      return points.tsMs.length === 0 ? [] : [{ seriesId, bytes: eventBytes('points', { seriesId, ...points }) }]
    })
  }
}
