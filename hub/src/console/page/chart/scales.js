/**
 * What uPlot is given beside colours: aligned columns, ranges, the width of an axis, and which value answers to the cursor.
 *
 * @import { ChartModel } from '../types.d.ts'
 */
import uPlot from '/console/vendor/uplot.js'
import { withGaps } from '../data/columns.js'

/** Wide enough for most numbers, so that panels below each other begin at the same place, CSS px. */
const narrowestAxis = 56

/**
 * Columns of all series on one axis of times.
 * @param {ChartModel} model
 * @returns {uPlot.AlignedData}
 */
export function dataOf({ series }) {
  const tables = series.map(({ points }) => {
    const { tsMs, columns } = withGaps(points)
    return /** @type {uPlot.AlignedData} */ ([tsMs, ...columns])
  })
  return tables.length === 1 ? /** @type {uPlot.AlignedData} */ (tables[0]) : uPlot.join(tables)
}

/**
 * A little air above and below; a flat line stands in the middle.
 * @param {number | null} min
 * @param {number | null} max
 * @returns {uPlot.Range.MinMax}
 */
export function paddedRange(min, max) {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1]
  const air = (max - min) * 0.08 || Math.abs(max) * 0.05 || 1
  return [min - air, max + air]
}

/**
 * @param {uPlot} plot
 * @param {string[] | null} labels
 */
export function axisWidth(plot, labels) {
  if (labels === null) return narrowestAxis
  plot.ctx.save()
  plot.ctx.font = `${12 * uPlot.pxRatio}px ${getComputedStyle(plot.root).fontFamily}`
  const widest = Math.max(0, ...labels.map(label => plot.ctx.measureText(label).width))
  plot.ctx.restore()
  return Math.ceil(Math.max(narrowestAxis, widest / uPlot.pxRatio + 20))
}

/**
 * With several series most times belong to one of them: the others answer with their nearest value.
 * @param {uPlot} plot
 * @param {number} seriesIdx
 * @param {number} closestIdx
 */
export function nearestValue(plot, seriesIdx, closestIdx) {
  const values = plot.data[seriesIdx]
  if (seriesIdx === 0 || values === undefined || values[closestIdx] != null) return closestIdx
  for (let distance = 1; distance <= 50; distance++) {
    for (const idx of [closestIdx - distance, closestIdx + distance]) if (values[idx] != null) return idx
  }
  return closestIdx
}
