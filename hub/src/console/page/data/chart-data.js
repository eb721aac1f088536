/**
 * What the chart shows: points and anomalies of the chosen series, loaded for a span and kept up to date by the event stream.
 *
 * Raw points are appended as they come. Buckets are the hub's work: when something new was stored they are asked for again, at most
 * once in `refreshMs`. What was shown stays until the answer is there.
 *
 * @import { Anomaly, ChartedSeries, NewPoints, Series, Span } from '../types.d.ts'
 */
import { getAnomalies, getPoints, getSeries, messageOf, wasAborted } from '../api.js'
import { earliestMs } from '../router.js'
import { appendPoints } from './columns.js'

const refreshMs = 2000

/** More raw points than this and the hub is asked to make buckets of them. */
const maxRaw = 6000

/**
 * Where a series begins, to about a thousandth of its length: the first bucket of everything, then once more from there.
 * @param {number} seriesId
 * @param {number} toMs
 * @param {AbortSignal} [signal]
 */
export async function firstReadingMs(seriesId, toMs, signal) {
  let fromMs = earliestMs
  for (let round = 0; round < 2; round++) {
    const { tsMs } = await getPoints(seriesId, { fromMs, toMs }, 1000, signal)
    if (tsMs[0] === undefined || tsMs[0] <= fromMs) break
    fromMs = tsMs[0]
  }
  return fromMs
}

export class ChartData {
  /** @type {ChartedSeries[]} */
  #charted = []
  /** @type {() => Span} */
  #span = () => ({ fromMs: 0, toMs: 1 })
  #request = new AbortController()
  /** @type {Map<number, ReturnType<typeof setTimeout>>} */
  #refreshes = new Map()
  #publish

  /** @param {(charted: ChartedSeries[]) => void} publish */
  constructor(publish) {
    this.#publish = publish
  }

  /**
   * Show these series; what is known of them stays until their points of this span are there.
   * @param {readonly number[]} ids
   * @param {() => Span} span as of now
   */
  async show(ids, span) {
    this.#request.abort()
    this.#request = new AbortController()
    this.#span = span
    const known = new Map(this.#charted.map(series => [series.seriesId, series]))
    this.#charted = ids.map(seriesId => ({ ...(known.get(seriesId) ?? empty(seriesId)), loading: true, error: null }))
    this.#publish(this.#charted)
    const { signal } = this.#request
    await Promise.all([this.#loadNames(ids, signal), ...ids.map(id => this.#load(id, signal))])
  }

  /** Everything once more: what was stored while the stream was broken was not told. */
  async reload() {
    const { signal } = this.#request
    await Promise.all(this.#charted.map(({ seriesId }) => this.#load(seriesId, signal)))
  }

  /** @param {NewPoints} added */
  append(added) {
    const series = this.#charted.find(one => one.seriesId === added.seriesId)
    if (series === undefined || series.points === null) return
    const latest = latestOf(series.meta, added)
    const meta = series.meta === null || latest === null ? series.meta : { ...series.meta, latest }
    const raw = series.points.bucketMs === 0 && series.points.tsMs.length < maxRaw
    this.#change(added.seriesId, { meta, ...(raw && { points: appendPoints(series.points, added) }) })
    if (!raw) this.refresh(added.seriesId)
  }

  /**
   * Ask for a series' points again, soon.
   * @param {number} seriesId
   */
  refresh(seriesId) {
    if (this.#refreshes.has(seriesId)) return
    const { signal } = this.#request
    const load = () => {
      this.#refreshes.delete(seriesId)
      if (!signal.aborted) this.#load(seriesId, signal)
    }
    this.#refreshes.set(seriesId, setTimeout(load, refreshMs))
  }

  /**
   * Opened, risen or closed.
   * @param {Anomaly} anomaly
   */
  takeAnomaly(anomaly) {
    const series = this.#charted.find(one => one.seriesId === anomaly.seriesId)
    if (series === undefined) return
    const others = series.anomalies.filter(one => one.anomalyId !== anomaly.anomalyId)
    this.#change(anomaly.seriesId, { anomalies: [anomaly, ...others] })
  }

  /**
   * @param {readonly number[]} ids
   * @param {AbortSignal} signal
   */
  async #loadNames(ids, signal) {
    if (ids.length === 0) return
    const page = await getSeries({ ids: ids.join(','), limit: ids.length }, signal).catch(() => null)
    for (const meta of page?.items ?? []) this.#change(meta.seriesId, { meta })
  }

  /**
   * @param {number} seriesId
   * @param {AbortSignal} signal
   */
  async #load(seriesId, signal) {
    const span = this.#span()
    try {
      const [points, anomalies] = await Promise.all([
        getPoints(seriesId, span, pointsWanted(), signal),
        getAnomalies(
          { series: seriesId, from: Math.floor(span.fromMs), to: Math.ceil(span.toMs), underWay: 'true', limit: 500 },
          signal,
        ),
      ])
      if (signal.aborted) return
      this.#change(seriesId, { points, anomalies: anomalies.items, loading: false, error: null })
    } catch (error) {
      if (!wasAborted(error)) this.#change(seriesId, { loading: false, error: messageOf(error) })
    }
  }

  /**
   * @param {number} seriesId
   * @param {Partial<ChartedSeries>} parts
   */
  #change(seriesId, parts) {
    this.#charted = this.#charted.map(one => (one.seriesId === seriesId ? { ...one, ...parts } : one))
    this.#publish(this.#charted)
  }
}

/**
 * @param {number} seriesId
 * @returns {ChartedSeries}
 */
const empty = seriesId => ({ seriesId, meta: null, points: null, anomalies: [], loading: true, error: null })

/** About one point a pixel. */
const pointsWanted = () => Math.max(300, Math.min(1500, window.innerWidth))

/**
 * The newest of what is known and what came.
 * @param {Series | null} meta
 * @param {NewPoints} added
 */
function latestOf(meta, { tsMs, value }) {
  const [ts, v] = [tsMs.at(-1), value.at(-1)]
  if (ts === undefined || v === undefined) return null
  const known = meta?.latest
  if (known !== null && known !== undefined && Date.parse(known.ts) > ts) return null
  return { ts: new Date(ts).toISOString(), value: typeof known?.value === 'boolean' ? v === 1 : v, quality: 'good' }
}
