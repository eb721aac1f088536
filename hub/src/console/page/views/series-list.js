/**
 * The list of series: searched by the hub, read a page after a page, and drawn only where one looks, so that ten thousand series are
 * as quick as ten. Arrow keys move a mark, Enter charts, Space compares.
 *
 * @import { AppState, Series } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { formatCount } from '../format.js'
import { publishSteps } from './first-steps.js'
import { icons } from './icons.js'
import { agentName, ago, failureNote, latestText } from './parts.js'

/** Height of a row, px; styles/series.css says the same. */
export const rowHeight = 52
const spareRows = 12

/**
 * @typedef {object} ListActions
 * @property {(q: string) => void} search
 * @property {(seriesId: number) => void} openSeries
 * @property {(seriesId: number) => void} toggleSeries
 * @property {(row: number) => void} moveTo
 * @property {() => void} listScrolled
 * @property {() => void} reloadList
 */

/** Rows that can be seen now. */
export function visibleRows() {
  const list = document.getElementById('series-list')
  const first = Math.floor((list?.scrollTop ?? 0) / rowHeight)
  return { first, last: first + Math.ceil((list?.clientHeight || window.innerHeight) / rowHeight) }
}

/**
 * @param {AppState} state
 * @param {ListActions} actions
 */
export function seriesList(state, actions) {
  const { list, route, overview } = state
  const nothingStored = overview?.series === 0 && route.q === ''
  return html`<div class="series-pane">
    <div class="series-search">
      <div class="search">
        ${icons.search}
        <input
          id="search"
          class="field"
          type="search"
          placeholder="Search device or metric"
          aria-label="Search series"
          autocomplete="off"
          spellcheck="false"
          maxlength="256"
          .value=${route.q}
          @input=${(/** @type {InputEvent} */ event) => actions.search(/** @type {HTMLInputElement} */ (event.target).value)}
          @keydown=${(/** @type {KeyboardEvent} */ event) => {
            if (event.key === 'ArrowDown') document.getElementById('series-list')?.focus()
          }}
        />
        <kbd aria-hidden="true">/</kbd>
      </div>
      <p class="series-count quiet number" role="status">${countText(state)}</p>
    </div>
    ${list.error !== null && list.items.length === 0 ? failureNote(list.error, () => actions.reloadList()) : nothing}
    ${nothingStored ? publishSteps() : nothing}
    ${
      list.items.length === 0 && list.loading === 'no' && list.error === null && !nothingStored
        ? html`<p class="empty-line">No series has “${route.q}” in its device or metric.</p>`
        : nothing
    }
    <div class="series-head" aria-hidden="true" ?hidden=${list.items.length === 0 && list.loading !== 'first'}>
      <span></span><span>Device and metric</span><span class="only-full">Site</span><span class="only-full">Agent</span><span></span>
      <span class="right">Latest</span>
    </div>
    ${list.loading === 'first' ? skeletonList() : rows(state, actions)}
  </div>`
}

/** @param {AppState} state */
function countText({ list, route, overview }) {
  if (list.loading === 'first') return 'Loading'
  if (list.next === null) return `${formatCount(list.items.length)} series`
  return route.q === '' && overview !== null
    ? `${formatCount(overview.series)} series`
    : `over ${formatCount(list.items.length)} series`
}

const skeletonList = () => html`<div class="series-list" aria-hidden="true">
  ${Array.from({ length: 8 }, (_, i) => html`<div class="series-row"><span></span><span class="skeleton bar-${(i % 3) + 1}"></span></div>`)}
</div>`

/**
 * @param {AppState} state
 * @param {ListActions} actions
 */
function rows(state, actions) {
  const { list, activeRow } = state
  const { first, last } = visibleRows()
  const from = Math.max(0, Math.min(first - spareRows, list.items.length))
  const to = Math.min(list.items.length, last + spareRows)
  if (list.items.length === 0) return nothing
  return html`<div
    id="series-list"
    class="series-list"
    role="listbox"
    tabindex="0"
    aria-label="Series"
    aria-multiselectable="true"
    aria-activedescendant=${activeRow >= from && activeRow < to ? `series-row-${activeRow}` : nothing}
    @scroll=${() => actions.listScrolled()}
    @keydown=${(/** @type {KeyboardEvent} */ event) => onKey(event, state, actions)}
  >
    <div .style=${`height: ${from * rowHeight}px`} role="presentation"></div>
    ${list.items.slice(from, to).map((series, i) => row(series, from + i, state, actions))}
    <div .style=${`height: ${(list.items.length - to) * rowHeight}px`} role="presentation"></div>
  </div>`
}

/**
 * @param {Series} series
 * @param {number} index
 * @param {AppState} state
 * @param {ListActions} actions
 */
function row(series, index, { route, list, activeRow, nowMs, overview, agents }, actions) {
  const color = route.ids.indexOf(series.seriesId)
  const open = series.openAnomalies ?? 0
  return html`<div
    id="series-row-${index}"
    class="series-row ${index === activeRow ? 'active' : ''}"
    role="option"
    aria-selected=${color >= 0}
    aria-posinset=${index + 1}
    aria-setsize=${list.next === null ? list.items.length : route.q === '' ? (overview?.series ?? -1) : -1}
    @click=${(/** @type {MouseEvent} */ event) => {
      actions.moveTo(index)
      const compare =
        event.ctrlKey || event.metaKey || /** @type {Element} */ (event.target).closest('.compare') !== null
      if (compare) actions.toggleSeries(series.seriesId)
      else actions.openSeries(series.seriesId)
    }}
  >
    <span class="compare" title="Compare"><span class="check ${color >= 0 ? `swatch-${color + 1} on` : ''}"></span></span>
    <span class="row-name"><span class="truncate device">${series.device}</span><span class="truncate metric">${series.metric}</span></span>
    <span class="only-full truncate soft">${series.site}</span>
    <span class="only-full truncate soft">${agentName(agents, series.agentId)}</span>
    <span class="row-mark">${
      open > 0
        ? html`<span class="badge warning" title="Open anomalies">${open}<span class="sr-only"> open ${open === 1 ? 'anomaly' : 'anomalies'}</span></span>`
        : nothing
    }</span>
    <span class="row-value"><span class="truncate number">${latestText(series)}</span><span class="quiet">${ago(series.latest?.ts ?? null, nowMs, 'no reading')}</span></span>
  </div>`
}

/**
 * @param {KeyboardEvent} event
 * @param {AppState} state
 * @param {ListActions} actions
 */
function onKey(event, { list, activeRow }, actions) {
  const page = Math.max(1, visibleRows().last - visibleRows().first - 1)
  /** @type {Record<string, number>} */
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }
  const move = moves[event.key]
  const current = list.items[activeRow]
  if (move !== undefined) actions.moveTo(Math.max(0, Math.min(list.items.length - 1, activeRow + move)))
  else if (event.key === 'Enter' && current !== undefined) actions.openSeries(current.seriesId)
  else if (event.key === ' ' && current !== undefined) actions.toggleSeries(current.seriesId)
  else return
  event.preventDefault()
}
