/**
 * Anomalies as a table: in the overview, in their own view, and below a chart as its other form.
 *
 * @import { Anomaly } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { durationOf, explain, titleOf } from '../explain.js'
import { formatDayTime, formatFullTime, formatNumber } from '../format.js'
import { anomalyLink, severityMark, skeletonRows, stateTag } from './parts.js'

/**
 * @typedef {object} Options
 * @property {boolean} [figures] what was seen and expected too
 * @property {boolean} [names] of the series; without them the row is named by what happened
 * @property {(anomaly: Anomaly) => string} [link] where a row leads: to the anomaly on its curve
 * @property {string | null} [selected] id of the row that is marked
 * @property {string} [empty] instead of a table without rows
 */

/**
 * @typedef {object} Column
 * @property {string} head
 * @property {(anomaly: Anomaly) => unknown} cell
 * @property {string} [kind] classes of its cells
 */

/**
 * @param {readonly Anomaly[] | null} anomalies null while they load
 * @param {number} nowMs
 * @param {Options} [options]
 */
export function anomalyTable(anomalies, nowMs, options = {}) {
  if (anomalies?.length === 0) return html`<p class="empty-line">${options.empty ?? 'Nothing unusual was seen.'}</p>`
  const columns = columnsOf(nowMs, options)
  return html`<div class="table-wrap"><table aria-busy=${anomalies === null}>
    <thead><tr>${columns.map(({ head, kind = '' }) => html`<th class=${kind}>${head}</th>`)}</tr></thead>
    <tbody>${anomalies === null ? skeletonRows(5, columns.length) : anomalies.map(anomaly => row(anomaly, columns, options))}</tbody>
  </table></div>`
}

/**
 * @param {Anomaly} anomaly
 * @param {readonly Column[]} columns
 * @param {Options} options
 */
const row = (anomaly, columns, { selected }) => html`<tr
  class="link ${anomaly.anomalyId === selected ? 'selected' : ''}"
  data-anomaly-row=${anomaly.anomalyId}
>${columns.map(({ cell, kind = '' }) => html`<td class=${kind}>${cell(anomaly)}</td>`)}</tr>`

/**
 * @param {number} nowMs
 * @param {Options} options
 * @returns {Column[]}
 */
function columnsOf(nowMs, { figures = false, names = true, link = anomaly => anomalyLink(anomaly, nowMs) }) {
  const linked = (/** @type {Anomaly} */ anomaly, /** @type {unknown} */ text) =>
    html`<a class="row-link" href=${link(anomaly)}>${text}</a>`
  /** @type {Column[]} */
  const what = names
    ? [
        {
          head: 'Series',
          kind: 'series-cell',
          cell: anomaly => linked(anomaly, html`${anomaly.device} <span class="soft">${anomaly.metric}</span>`),
        },
        { head: 'What', kind: 'wide-only', cell: anomaly => html`${titleOf(anomaly)}${flags(anomaly)}` },
      ]
    : [{ head: 'What', cell: anomaly => html`${linked(anomaly, titleOf(anomaly))}${flags(anomaly)}` }]
  /** @type {Column[]} */
  const numbers = [
    { head: 'Seen', kind: 'right wide-only', cell: anomaly => explain(anomaly).seen },
    { head: 'Expected', kind: 'right wide-only', cell: anomaly => explain(anomaly).expected },
    {
      head: 'Surprise',
      kind: 'right wide-only roomy',
      cell: anomaly => formatNumber(Math.round(anomaly.surprise * 100) / 100),
    },
  ]
  return [
    { head: 'Severity', cell: anomaly => severityMark(anomaly.severity) },
    ...what,
    ...(figures ? numbers : []),
    { head: 'Opened', kind: 'nowrap number', cell: ({ openedAt }) => opened(openedAt) },
    { head: 'Lasted', kind: 'right wide-only roomy', cell: anomaly => durationOf(anomaly, nowMs) },
    { head: 'State', kind: 'right', cell: stateTag },
  ]
}

/** @param {string} openedAt */
function opened(openedAt) {
  const ms = Date.parse(openedAt)
  return html`<time datetime=${openedAt} title=${formatFullTime(ms)}>${formatDayTime(ms)}</time>`
}

/** @param {Anomaly} anomaly */
const flags = ({ learning, historic }) => html`
  ${learning ? html`<span class="tag">learning</span>` : nothing}
  ${historic ? html`<span class="tag">historic</span>` : nothing}`
