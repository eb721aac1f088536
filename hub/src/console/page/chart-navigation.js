/**
 * Moving along a chart: ranges, zoom, live, and from anomaly to anomaly. Each move is a new address, so that it can be shared and
 * taken back.
 *
 * @import { RangeName, Route, Span } from './types.d.ts'
 */
import { earliestMs } from './router.js'

export class ChartNavigation {
  #page

  /**
   * @param {{
   *   route: () => Route,
   *   span: () => Span,
   *   now: () => number,
   *   go: (parts: Partial<Route>, how?: { replace?: boolean }) => void,
   * }} page
   */
  constructor(page) {
    this.#page = page
  }

  /** @param {RangeName} range */
  setRange(range) {
    this.#page.go({ range, span: null, live: true })
  }

  /** @param {Span} span */
  zoom(span) {
    this.#page.go({ span, live: false })
  }

  /** @param {number} factor */
  zoomBy(factor) {
    const { fromMs, toMs } = this.#page.span()
    const [middle, half] = [(fromMs + toMs) / 2, ((toMs - fromMs) / 2) * factor]
    this.zoom({ fromMs: Math.max(middle - half, earliestMs), toMs: Math.min(middle + half, this.#page.now()) })
  }

  resetZoom() {
    this.#page.go({ span: null, live: true })
  }

  toggleLive() {
    const route = this.#page.route()
    if (route.live && route.span === null) this.#page.go({ span: this.#page.span(), live: false })
    else this.resetZoom()
  }

  /** @param {string | null} anomalyId */
  pick(anomalyId) {
    const closed = this.#page.route().anomaly
    this.#page.go({ anomaly: anomalyId }, { replace: true })
    if (anomalyId === null && closed !== null) focusMark(closed)
  }

  /**
   * The anomaly after or before the one that is explained.
   * @param {1 | -1} step
   */
  pickNext(step) {
    const marks = [...document.querySelectorAll('.mark')].map(mark => mark.getAttribute('data-anomaly'))
    if (marks.length === 0) return
    const at = marks.indexOf(this.#page.route().anomaly)
    const next = at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length
    this.pick(marks[next] ?? null)
  }
}

/** @param {string} anomalyId */
function focusMark(anomalyId) {
  const mark = document.querySelector(`.mark[data-anomaly="${CSS.escape(anomalyId)}"]`)
  if (mark instanceof HTMLElement) mark.focus()
}
