/**
 * `<time-chart>`: one panel of series that share a unit, over time. A thin element around uPlot that lives as long as it is in the page.
 *
 * `model` in; `zoom` (a span was dragged), `pick` (an anomaly, or null) and `placed` (where the chosen mark stands) out. Marks are
 * buttons over the plot: they can be reached, named and pressed without a pointer. The arrow keys move a cursor along the curve.
 *
 * @import { Anomaly, ChartModel, ChartSeries } from '../types.d.ts'
 * @import { Mark } from './markers.js'
 */
import uPlot from '/console/vendor/uplot.js'
import { anomaliesWithin, curveAt } from '../data/columns.js'
import { formatNumber } from '../format.js'
import { timeLabels } from './axes.js'
import { colorOf, seriesColor } from './colors.js'
import { placeMarks } from './markers.js'
import { Readout } from './readout.js'
import { axisWidth, dataOf, nearestValue, paddedRange } from './scales.js'

/** A drag shorter than this is a click, CSS px. */
const shortestDrag = 8

export class TimeChart extends HTMLElement {
  /** @type {ChartModel | null} */
  #model = null
  /** @type {uPlot | null} */
  #plot = null
  #shape = ''
  #readout = new Readout()
  #marks = document.createElement('div')
  #cursor = -1
  /** @type {readonly ChartSeries[]} */
  #drawn = []
  #resized = new ResizeObserver(() => this.#resize())

  connectedCallback() {
    this.#marks.className = 'marks'
    this.addEventListener('keydown', this.#onKey)
    this.#resized.observe(this)
    this.#draw()
  }

  disconnectedCallback() {
    this.#resized.disconnect()
    this.removeEventListener('keydown', this.#onKey)
    this.#destroy()
  }

  /** @param {ChartModel} model */
  set model(model) {
    this.#model = model
    if (this.isConnected) this.#draw()
  }

  /** What is drawn: times and values by series, for whoever wants to compare it with what is stored. */
  get drawn() {
    return this.#drawn.map(({ seriesId, points }) => ({ seriesId, tsMs: points.tsMs, value: points.value }))
  }

  #draw() {
    const model = this.#model
    if (model === null || this.clientWidth === 0) return
    const shape = JSON.stringify([model.series.map(s => [s.seriesId, s.color, s.points.min !== undefined]), model.dark])
    if (shape !== this.#shape) this.#create(model, shape)
    else this.#refill(model)
  }

  /** @param {ChartModel} model */
  #refill(model) {
    const plot = this.#plot
    if (plot === null) return
    const same = model.series.every((series, i) => series.points === this.#drawn[i]?.points)
    this.#drawn = model.series
    plot.batch(() => {
      if (!same) plot.setData(dataOf(model), false)
      plot.setScale('x', { min: model.span.fromMs, max: model.span.toMs })
    })
  }

  #resize() {
    if (this.#plot === null) this.#draw()
    else if (this.clientWidth > 0) this.#plot.setSize({ width: this.clientWidth, height: this.clientHeight })
  }

  #destroy() {
    this.#plot?.destroy()
    this.#plot = null
    this.#shape = ''
  }

  /**
   * @param {ChartModel} model
   * @param {string} shape
   */
  #create(model, shape) {
    this.#destroy()
    this.#shape = shape
    this.#drawn = model.series
    this.#cursor = -1
    this.#readout.hide()
    const plot = new uPlot(this.#options(model), dataOf(model), this)
    this.#plot = plot
    plot.over.append(this.#marks, this.#readout.element)
    this.#placeMarks()
  }

  /**
   * @param {ChartModel} model
   * @returns {uPlot.Options}
   */
  #options(model) {
    const text = colorOf(this, '--text-3')
    const grid = colorOf(this, '--border')
    const font = `12px ${getComputedStyle(this).fontFamily}`
    const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } }
    const { series, bands } = this.#series(model)
    return {
      width: this.clientWidth,
      height: this.clientHeight,
      ms: 1,
      padding: [12, 12, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: true, range: (_, min, max) => [min ?? 0, max ?? 1] },
        y: { range: (_, min, max) => paddedRange(min, max) },
      },
      axes: [
        {
          ...axis,
          gap: 8,
          size: (_, labels) => (labels?.some(label => label.includes('\n')) ? 44 : 28),
          space: 88,
          values: (_, ticks, __, ___, step) => timeLabels(ticks, step),
          grid: { ...axis.grid, show: false },
        },
        { ...axis, gap: 8, size: axisWidth, space: 44, values: (_, ticks) => ticks.map(formatNumber) },
      ],
      series,
      bands,
      cursor: {
        sync: { key: 'console', scales: ['x', null] },
        drag: { x: true, y: false, setScale: false, dist: shortestDrag },
        points: { size: 7, width: 2, fill: colorOf(this, '--surface') },
        dataIdx: nearestValue,
        y: false,
      },
      hooks: {
        init: [plot => plot.setScale('x', { min: model.span.fromMs, max: model.span.toMs })],
        drawClear: [plot => this.#drawSpans(plot)],
        draw: [() => this.#placeMarks()],
        setCursor: [plot => this.#readout.show(plot, this.#model ?? model)],
        setSelect: [plot => this.#zoomed(plot)],
      },
    }
  }

  /** @param {ChartModel} model */
  #series(model) {
    /** @type {uPlot.Series[]} */
    const series = [{}]
    /** @type {uPlot.Band[]} */
    const bands = []
    for (const { color, points } of model.series) {
      const stroke = colorOf(this, seriesColor(color))
      const few = { show: (/** @type {uPlot} */ plot) => plot.width / Math.max(1, points.tsMs.length) > 12, size: 4 }
      series.push({ stroke, width: 1.5, points: { ...few, fill: stroke, stroke } })
      if (points.min === undefined) continue
      const edge = { stroke: 'transparent', width: 0, points: { show: false } }
      series.push(edge, edge)
      bands.push({ series: [series.length - 1, series.length - 2], fill: colorOf(this, seriesColor(color), 0.18) })
    }
    return { series, bands }
  }

  /**
   * How long each anomaly lasted, behind the curves.
   * @param {uPlot} plot
   */
  #drawSpans(plot) {
    const model = this.#model
    if (model === null) return
    const { ctx, bbox } = plot
    ctx.save()
    for (const { anomalies } of model.series) {
      for (const anomaly of anomaliesWithin(anomalies, model.span)) {
        const from = plot.valToPos(Math.max(Date.parse(anomaly.openedAt), model.span.fromMs), 'x', true)
        const closedMs = anomaly.closedAt === null ? model.nowMs : Date.parse(anomaly.closedAt)
        const to = plot.valToPos(Math.min(closedMs, model.span.toMs), 'x', true)
        const name = anomaly.severity === 'critical' ? '--critical' : '--warning-mark'
        ctx.fillStyle = colorOf(this, name, anomaly.anomalyId === model.selected ? 0.22 : 0.1)
        ctx.fillRect(from, bbox.top, Math.max(to - from, uPlot.pxRatio), bbox.height)
      }
    }
    ctx.restore()
  }

  #placeMarks() {
    const [plot, model] = [this.#plot, this.#model]
    if (plot === null || model === null) return
    const placed = model.series.flatMap(series => {
      const visible = anomaliesWithin(series.anomalies, model.span)
      return placeMarks(visible, anomaly => this.#positionOf(plot, series, anomaly), model.selected)
    })
    this.#fillMarks(placed, model)
    const chosen = placed.find(mark => mark.worst.anomalyId === model.selected)
    const width = plot.over.clientWidth
    this.dispatchEvent(
      new CustomEvent('placed', {
        detail: chosen === undefined ? null : { ...chosen, width, offset: plot.over.offsetLeft },
      }),
    )
  }

  /**
   * On the curve at the time of opening; one that opened before the span stands at its edge.
   * @param {uPlot} plot
   * @param {ChartSeries} series
   * @param {Anomaly} anomaly
   */
  #positionOf(plot, series, anomaly) {
    const openedMs = Date.parse(anomaly.openedAt)
    const { min, max } = plot.scales.x ?? {}
    if (min === undefined || min === null || max === undefined || max === null || openedMs > max) return null
    const value = curveAt(series.points, openedMs)
    if (value === null) return null
    const top = plot.valToPos(value, 'y')
    return {
      left: plot.valToPos(Math.max(openedMs, min), 'x'),
      top: Math.max(0, Math.min(plot.over.clientHeight, top)),
    }
  }

  /**
   * Buttons are kept and moved, so that a focused one stays focused.
   * @param {readonly Mark[]} placed
   * @param {ChartModel} model
   */
  #fillMarks(placed, model) {
    const kept = new Map([...this.#marks.children].map(child => [child.getAttribute('data-anomaly'), child]))
    placed.forEach((mark, i) => {
      const { anomalyId, severity } = mark.worst
      const found = kept.get(anomalyId)
      kept.delete(anomalyId)
      const button = /** @type {HTMLButtonElement} */ (found ?? this.#createMark(anomalyId))
      button.className = `mark ${severity}${anomalyId === model.selected ? ' selected' : ''}`
      button.dataset.opened = mark.worst.openedAt
      button.textContent = mark.anomalies.length > 1 ? String(mark.anomalies.length) : ''
      const more = mark.anomalies.length > 1 ? `, and ${mark.anomalies.length - 1} near it` : ''
      button.setAttribute('aria-label', `${model.nameOf(mark.worst)}${more}`)
      button.style.transform = `translate(${Math.round(mark.left)}px, ${Math.round(mark.top)}px)`
      if (this.#marks.children[i] !== button) this.#marks.insertBefore(button, this.#marks.children[i] ?? null)
    })
    for (const gone of kept.values()) gone.remove()
  }

  /** @param {string} anomalyId */
  #createMark(anomalyId) {
    const button = document.createElement('button')
    button.type = 'button'
    button.dataset.anomaly = anomalyId
    // A press on a mark begins no drag.
    button.addEventListener('mousedown', event => event.stopPropagation())
    button.addEventListener('click', () =>
      this.dispatchEvent(new CustomEvent('pick', { detail: anomalyId, bubbles: true })),
    )
    return button
  }

  /** @param {uPlot} plot */
  #zoomed(plot) {
    const { left, width } = plot.select
    if (width < shortestDrag) return
    const detail = { fromMs: plot.posToVal(left, 'x'), toMs: plot.posToVal(left + width, 'x') }
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    this.dispatchEvent(new CustomEvent('zoom', { detail }))
  }

  /** @param {KeyboardEvent} event */
  #onKey = event => {
    const plot = this.#plot
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
    if (plot === null || step === 0 || event.target !== this) return
    event.preventDefault()
    const times = plot.data[0]
    const { min, max } = plot.scales.x ?? {}
    if (times.length === 0 || min === undefined || min === null || max === undefined || max === null) return
    const [first, last] = [plot.valToIdx(min), plot.valToIdx(max)]
    const from = this.#cursor < first || this.#cursor > last ? (step > 0 ? first - 1 : last + 1) : this.#cursor
    this.#cursor = Math.max(first, Math.min(last, from + step * (event.shiftKey ? 10 : 1)))
    plot.setCursor({ left: plot.valToPos(Number(times[this.#cursor]), 'x'), top: plot.over.clientHeight / 2 })
  }
}

customElements.define('time-chart', TimeChart)
