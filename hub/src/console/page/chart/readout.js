/**
 * The readout beside the cursor: the time, and what each series is there.
 *
 * @import uPlot from '/console/vendor/uplot.js'
 * @import { ChartModel } from '../types.d.ts'
 */
import { formatFullTime, formatNumber } from '../format.js'
import { withUnit } from '../units.js'

/** Closer to the right edge than this, it stands left of the cursor, CSS px. */
const roomNeeded = 240

export class Readout {
  element = document.createElement('div')

  constructor() {
    this.element.className = 'readout'
    this.element.setAttribute('role', 'status')
    this.hide()
  }

  hide() {
    this.element.hidden = true
  }

  /**
   * @param {uPlot} plot
   * @param {ChartModel} model
   */
  show(plot, model) {
    const { left = -1, idx } = plot.cursor
    const ts = idx === null || idx === undefined || left < 0 ? undefined : plot.data[0][idx]
    const lines = ts === undefined ? [] : linesOf(plot, model)
    this.element.hidden = lines.length === 0
    if (ts === undefined || lines.length === 0) return
    const head = document.createElement('div')
    head.className = 'readout-time'
    head.textContent = formatFullTime(Number(ts))
    this.element.replaceChildren(head, ...lines)
    const before = left > plot.over.clientWidth - roomNeeded
    this.element.style.transform = `translate(${Math.round(left)}px, 0) translateX(${before ? 'calc(-100% - 12px)' : '12px'})`
  }
}

/**
 * @param {uPlot} plot
 * @param {ChartModel} model
 */
function linesOf(plot, model) {
  /** @type {HTMLElement[]} */
  const lines = []
  let column = 1
  for (const { name, color, points } of model.series) {
    const at = plot.cursor.idxs?.[column]
    const read = (/** @type {number} */ offset) =>
      at === null || at === undefined ? null : plot.data[column + offset]?.[at]
    const [value, min, max] = [read(0), read(1), read(2)]
    const bucketed = points.min !== undefined
    column += bucketed ? 3 : 1
    if (value === null || value === undefined) continue
    const band = bucketed && min !== max ? ` (${formatNumber(Number(min))} … ${formatNumber(Number(max))})` : ''
    lines.push(readoutLine(name, color, withUnit(formatNumber(value), model.unit) + band))
  }
  return lines
}

/**
 * @param {string} name
 * @param {number} color
 * @param {string} text
 */
function readoutLine(name, color, text) {
  const line = document.createElement('div')
  line.className = 'readout-line'
  const swatch = document.createElement('span')
  swatch.className = `swatch swatch-${(color % 8) + 1}`
  const label = document.createElement('span')
  label.className = 'readout-name'
  label.textContent = name
  const value = document.createElement('strong')
  value.className = 'number'
  value.textContent = text
  line.append(swatch, label, value)
  return line
}
