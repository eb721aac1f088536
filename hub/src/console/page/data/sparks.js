/**
 * A few series worth a look, with their last day: those with the latest anomalies, then the first numeric ones.
 *
 * @import { Anomaly, AppState } from '../types.d.ts'
 */
import { getPoints, getSeries } from '../api.js'

const count = 4
const points = 150
const dayMs = 86_400_000
const hourMs = 3_600_000

/** Fewer points than this in a day: the series is young, and its last hour says more. */
const fewPoints = 12

/**
 * @param {readonly Anomaly[]} recent anomalies, the newest first
 * @param {number} toMs
 * @returns {Promise<AppState['sparks'] & {}>}
 */
export async function loadSparks(recent, toMs) {
  const ids = [...new Set(recent.map(anomaly => anomaly.seriesId))].slice(0, count)
  const unusual = ids.length === 0 ? [] : (await getSeries({ ids: ids.join(','), limit: count })).items
  const others = unusual.length < count ? (await getSeries({ limit: 2 * count })).items : []
  const series = [
    ...ids.flatMap(id => unusual.filter(one => one.seriesId === id)),
    ...others.filter(one => typeof one.latest?.value === 'number' && !ids.includes(one.seriesId)),
  ].slice(0, count)
  return Promise.all(series.map(async one => ({ series: one, points: await lastDay(one.seriesId, toMs) })))
}

/**
 * @param {number} seriesId
 * @param {number} toMs
 */
async function lastDay(seriesId, toMs) {
  const day = await getPoints(seriesId, { fromMs: toMs - dayMs, toMs }, points)
  return day.tsMs.length < fewPoints ? getPoints(seriesId, { fromMs: toMs - hourMs, toMs }, points) : day
}
