/**
 * Anomalies as a table: in the overview, in their own view, and beside a chart as its other form.
 *
 * @import { Anomaly } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { durationOf, explain } from '../explain.js'
import { formatDayTime, formatFullTime, formatNumber } from '../format.js'
import { anomalyLink, severityMark, skeletonRows, stateTag } from './parts.js'

/**
 * @param {readonly Anomaly[] | null} anomalies null while they load
 * @param {number} nowMs
 * @param {{
 *   title: (anomaly: Anomaly) => string,
 *   compact?: boolean,
 *   link?: (anomaly: Anomaly) => string,
 *   selected?: string | null,
 *   empty?: string,
 * }} options `compact` leaves out the figures
 */
export function anomalyTable(anomalies, nowMs, options) {
  const { compact = false, empty = 'Nothing unusual was seen.' } = options
  if (anomalies !== null && anomalies.length === 0) return html`<p class="empty-line">${empty}</p>`
  return html`<div class="table-wrap" tabindex="-1"><table class="anomaly-table" aria-busy=${anomalies === null}>
    <thead><tr>
      <th>Severity</th><th>Series</th><th class="wide-only">What</th>
      ${compact ? nothing : html`<th class="right wide-only">Seen</th><th class="right wide-only">Expected</th><th class="right wide-only">Surprise</th>`}
      <th>Opened</th><th class="right wide-only">Lasted</th><th class="right">State</th>
    </tr></thead>
    <tbody>${
      anomalies === null ? skeletonRows(5, compact ? 6 : 9) : anomalies.map(anomaly => row(anomaly, nowMs, options))
    }</tbody>
  </table></div>`
}

/**
 * @param {Anomaly} anomaly
 * @param {number} nowMs
 * @param {{ title: (anomaly: Anomaly) => string, compact?: boolean, link?: (anomaly: Anomaly) => string, selected?: string | null }} options
 */
function row(anomaly, nowMs, { title, compact = false, link = one => anomalyLink(one, nowMs), selected = null }) {
  const { seen, expected } = explain(anomaly)
  const openedMs = Date.parse(anomaly.openedAt)
  return html`<tr class="link ${anomaly.anomalyId === selected ? 'selected' : ''}">
    <td>${severityMark(anomaly.severity)}</td>
    <td class="series-cell"><a class="row-link" href=${link(anomaly)}>${anomaly.device} <span class="soft">${anomaly.metric}</span></a></td>
    <td class="wide-only">${title(anomaly)}${flags(anomaly)}</td>
    ${
      compact
        ? nothing
        : html`<td class="right wide-only">${seen}</td><td class="right wide-only">${expected}</td>
            <td class="right wide-only">${formatNumber(Math.round(anomaly.surprise * 100) / 100)}</td>`
    }
    <td class="nowrap number"><time datetime=${anomaly.openedAt} title=${formatFullTime(openedMs)}>${formatDayTime(openedMs)}</time></td>
    <td class="right wide-only">${durationOf(anomaly, nowMs)}</td>
    <td class="right">${stateTag(anomaly)}</td>
  </tr>`
}

/** @param {Anomaly} anomaly */
const flags = ({ learning, historic }) =>
  html`${learning ? html` <span class="tag">learning</span>` : nothing}${
    historic ? html` <span class="tag">historic</span>` : nothing
  }`
