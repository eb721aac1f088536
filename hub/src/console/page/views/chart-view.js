/**
 * The chosen series over time: one panel a unit, the anomalies on the curves, and the same as tables.
 *
 * @import { Anomaly, AppState, ChartedSeries, RangeName, Span } from '../types.d.ts'
 * @import { Console } from '../console.js'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { anomaliesWithin, summarize } from '../data/columns.js'
import { durationOf, titleOf } from '../explain.js'
import { formatCount, formatFullTime, formatNumber } from '../format.js'
import { formatRoute, rangeMs } from '../router.js'
import { isDark } from '../theme.js'
import { unitText, withUnit } from '../units.js'
import { anomalyTable } from './anomaly-table.js'
import { explanationCard } from './explanation.js'
import { icons } from './icons.js'
import { agentName, ago, latestText } from './parts.js'

/** @typedef {Pick<Console, 'chart' | 'removeSeries' | 'addSeries' | 'retryChart'>} ChartActions */

/**
 * @param {AppState} state
 * @param {Span} span
 * @param {ChartActions} actions
 */
export function chartView(state, span, actions) {
  const { charted, route } = state
  const selected = charted.flatMap(series => series.anomalies).find(one => one.anomalyId === route.anomaly)
  return html`<section class="chart-pane" aria-label="Chart">
    <div class="legend">
      <a class="icon-button back-to-list" href=${formatRoute({ view: 'series', q: route.q })} aria-label="Back to the list">${icons.back}</a>
      ${charted.map((series, i) => legendEntry(series, i, state, actions))}
      <button class="button add-series" type="button" @click=${() => actions.addSeries()}>${icons.add}Compare</button>
    </div>
    ${toolbar(state, span, actions)}
    <div class="panels">
      ${panelsOf(charted).map(panel => panelView(panel, state, span, actions))}
      ${selected === undefined ? nothing : explanationCard(selected, state.nowMs, () => actions.chart.pick(null))}
    </div>
    ${tables(state, span)}
  </section>`
}

/**
 * @param {ChartedSeries} series
 * @param {number} index
 * @param {AppState} state
 * @param {ChartActions} actions
 */
function legendEntry({ seriesId, meta, error }, index, { nowMs, agents }, actions) {
  const name = meta === null ? `Series ${seriesId}` : `${meta.device} ${meta.metric}`
  return html`<div class="legend-entry" data-series=${seriesId}>
    <span class="swatch swatch-${index + 1}"></span>
    <div class="legend-name">
      <h1 class="truncate">${meta === null ? name : html`${meta.device} <span class="soft">${meta.metric}</span>`}</h1>
      <p class="quiet truncate">${meta === null ? (error ?? 'Loading') : `${meta.site} · ${agentName(agents, meta.agentId)}`}</p>
    </div>
    <div class="legend-value">
      <span class="number latest">${meta === null ? '–' : latestText(meta)}</span>
      <span class="quiet">${meta === null ? '' : ago(meta.latest?.ts ?? null, nowMs, 'no reading')}</span>
    </div>
    <button class="icon-button small" type="button" aria-label="Take ${name} out of the chart" @click=${() => actions.removeSeries(seriesId)}>
      ${icons.close}
    </button>
  </div>`
}

/**
 * @param {AppState} state
 * @param {Span} span
 * @param {ChartActions} actions
 */
function toolbar({ route, connection }, span, actions) {
  const ranges = /** @type {RangeName[]} */ (Object.keys(rangeMs))
  return html`<div class="toolbar">
    <div class="segments ranges" role="group" aria-label="Range">
      ${ranges.map(
        range => html`<button
          type="button"
          aria-pressed=${route.span === null && route.range === range}
          @click=${() => actions.chart.setRange(range)}
        >${range === 'all' ? 'All' : range.replace(/([a-z])$/, ' $1')}</button>`,
      )}
    </div>
    <button class="button live" type="button" aria-pressed=${route.live && route.span === null} @click=${() => actions.chart.toggleLive()}>
      <span class="dot ${route.live && route.span === null && connection.mode === 'open' ? 'ok' : 'hollow'}"></span>Live
    </button>
    <div class="toolbar-end">
      ${
        route.span === null
          ? nothing
          : html`<span class="span-text quiet number wide-only">${formatFullTime(span.fromMs)} – ${formatFullTime(span.toMs)}</span>
              <button class="button" type="button" @click=${() => actions.chart.resetZoom()}>${icons.back}Back to ${route.range}</button>`
      }
      <button class="icon-button" type="button" aria-label="Zoom in" @click=${() => actions.chart.zoomBy(0.5)}>${icons.zoomIn}</button>
      <button class="icon-button" type="button" aria-label="Zoom out" @click=${() => actions.chart.zoomBy(2)}>${icons.zoomOut}</button>
    </div>
  </div>`
}

/**
 * Series of one unit share a panel and its scale.
 * @param {readonly ChartedSeries[]} charted
 */
function panelsOf(charted) {
  /** @type {Map<string, { unit: string, members: { series: ChartedSeries, color: number }[] }>} */
  const panels = new Map()
  charted.forEach((series, color) => {
    const unit = series.meta?.unit ?? series.points?.unit ?? ''
    const panel = panels.get(unit) ?? { unit, members: [] }
    panel.members.push({ series, color })
    panels.set(unit, panel)
  })
  return [...panels.values()]
}

/**
 * @param {ReturnType<typeof panelsOf>[number]} panel
 * @param {AppState} state
 * @param {Span} span
 * @param {ChartActions} actions
 */
function panelView({ unit, members }, state, span, actions) {
  const error = members.find(({ series }) => series.error !== null)?.series.error ?? null
  const loaded = members.filter(({ series }) => series.points !== null)
  const waiting = (loaded.length === 0 && error === null) || customElements.get('time-chart') === undefined
  const none = loaded.length > 0 && loaded.every(({ series }) => series.points?.tsMs.length === 0)
  const names = members.map(({ series }) => nameOf(series)).join(', ')
  const model = {
    unit,
    span,
    selected: state.route.anomaly,
    dark: isDark(state.theme),
    nowMs: state.nowMs,
    nameOf: (/** @type {Anomaly} */ anomaly) => markName(anomaly, state.nowMs),
    series: loaded.map(({ series, color }) => ({
      seriesId: series.seriesId,
      name: nameOf(series),
      color,
      points: series.points,
      anomalies: series.anomalies,
    })),
  }
  return html`<figure class="panel chart-panel" aria-busy=${members.some(({ series }) => series.loading)}>
    <figcaption>
      <span>${unitText(unit) || 'without unit'}</span>
      <span class="quiet">${resolutionText(loaded.map(({ series }) => series))}</span>
    </figcaption>
    ${waiting ? html`<span class="skeleton chart-bar"></span>` : nothing}
    ${error === null ? nothing : html`<div class="chart-note" role="alert">${error} <button class="button small" type="button" @click=${() => actions.retryChart()}>Try again</button></div>`}
    ${none ? html`<p class="chart-note">No numbers were stored in this range. Choose a longer one, or All.</p>` : nothing}
    ${waiting ? nothing : chartElement(names, model, actions)}
  </figure>`
}

/**
 * @param {string} names
 * @param {object} model
 * @param {ChartActions} actions
 */
const chartElement = (names, model, actions) => html`<time-chart
  tabindex="0"
  role="group"
  aria-label="Chart of ${names}. Arrow keys move along the curve; the tables below hold the same."
  .model=${model}
  @zoom=${(/** @type {CustomEvent<Span>} */ event) => actions.chart.zoom(event.detail)}
  @pick=${(/** @type {CustomEvent<string>} */ event) => actions.chart.pick(event.detail)}
  @placed=${placeCard}
></time-chart>`

/** @param {ChartedSeries} series */
const nameOf = ({ seriesId, meta }) => (meta === null ? `Series ${seriesId}` : `${meta.device} ${meta.metric}`)

/**
 * @param {Anomaly} anomaly
 * @param {number} nowMs
 */
function markName(anomaly, nowMs) {
  const severity = anomaly.severity === 'critical' ? 'Critical' : 'Warning'
  const state = anomaly.closedAt === null ? 'open for' : 'lasted'
  const opened = formatFullTime(Date.parse(anomaly.openedAt))
  return `${severity}: ${titleOf(anomaly).toLowerCase()}, ${anomaly.device} ${anomaly.metric}, opened ${opened}, ${state} ${durationOf(anomaly, nowMs)}`
}

/** @param {readonly ChartedSeries[]} loaded */
function resolutionText(loaded) {
  const bucketMs = Math.max(0, ...loaded.map(({ points }) => points?.bucketMs ?? 0))
  if (bucketMs === 0) return 'every reading'
  const minutes = bucketMs / 60_000
  const text =
    minutes < 1
      ? `${formatNumber(bucketMs / 1000)} s`
      : minutes < 120
        ? `${formatNumber(minutes)} min`
        : `${formatNumber(minutes / 60)} h`
  return `mean and range of each ${text}`
}

/**
 * Where the chosen mark stands, for the card beside it.
 * @param {CustomEvent<{ left: number, top: number, width: number, offset: number } | null>} event
 */
function placeCard({ detail, target }) {
  const card = document.getElementById('explanation')
  if (detail === null || card === null) return
  const chart = /** @type {HTMLElement} */ (target)
  const right = detail.left < detail.width / 2
  const x = detail.offset + detail.left + (right ? 20 : -20)
  const room = Math.max(0, chart.offsetTop + 8)
  card.style.setProperty('--x', `${Math.round(chart.offsetLeft + x)}px`)
  card.style.setProperty('--y', `${Math.round(room)}px`)
  card.classList.toggle('to-left', !right)
}

/**
 * @param {AppState} state
 * @param {Span} span
 */
function tables({ charted, route, nowMs }, span) {
  const loading = charted.some(series => series.points === null && series.error === null)
  const anomalies = anomaliesWithin(
    charted.flatMap(series => series.anomalies),
    span,
  ).reverse()
  return html`<div class="chart-tables">
    <section class="panel" aria-labelledby="in-range-title">
      <div class="panel-head"><h2 id="in-range-title">Anomalies in this range</h2><span class="badge">${formatCount(anomalies.length)}</span></div>
      ${anomalyTable(loading ? null : anomalies, nowMs, {
        figures: true,
        names: charted.length > 1,
        link: anomaly => formatRoute({ ...route, anomaly: anomaly.anomalyId }),
        selected: route.anomaly,
        empty: 'Nothing unusual was seen in this range.',
      })}
    </section>
    <section class="panel" aria-labelledby="values-title">
      <div class="panel-head"><h2 id="values-title">Values in this range</h2></div>
      <div class="table-wrap"><table>
        <thead><tr><th>Series</th><th class="right wide-only">Latest</th><th class="right">Min</th><th class="right">Mean</th><th class="right">Max</th><th class="right wide-only">Readings</th></tr></thead>
        <tbody>${charted.map((series, i) => valuesRow(series, i, span))}</tbody>
      </table></div>
    </section>
  </div>`
}

/**
 * @param {ChartedSeries} series
 * @param {number} index
 * @param {Span} span
 */
function valuesRow(series, index, span) {
  const summary = series.points === null ? null : summarize(series.points, span)
  const unit = series.meta?.unit ?? ''
  const cell = (/** @type {number | undefined} */ value) =>
    html`<td class="right">${value === undefined ? '–' : withUnit(formatNumber(value), unit)}</td>`
  return html`<tr>
    <td><span class="named"><span class="swatch swatch-${index + 1}"></span>${nameOf(series)}</span></td>
    <td class="right wide-only">${series.meta === null ? '–' : latestText(series.meta)}</td>
    ${cell(summary?.min)}${cell(summary?.mean)}${cell(summary?.max)}
    <td class="right wide-only">${summary === null ? '–' : formatCount(summary.n)}</td>
  </tr>`
}
