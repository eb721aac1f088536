/**
 * Parts that several views draw.
 *
 * @import { Agent, Anomaly, AgentStatus, Series } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { formatAge, formatFullTime, formatValue } from '../format.js'
import { formatRoute } from '../router.js'
import { withUnit } from '../units.js'
import { icons } from './icons.js'

/** @param {Anomaly['severity']} severity */
export const severityMark = severity =>
  html`<span class="severity ${severity}">${icons[severity]}<span class="severity-word">${
    severity === 'critical' ? 'Critical' : 'Warning'
  }</span></span>`

/** @param {Pick<Anomaly, 'closedAt'>} anomaly */
export const stateTag = anomaly =>
  anomaly.closedAt === null ? html`<span class="badge warning">Open</span>` : html`<span class="badge">Closed</span>`

/**
 * A moment as an age, in full when pointed at.
 * @param {string | null} iso
 * @param {number} nowMs
 * @param {string} [none]
 */
export function ago(iso, nowMs, none = 'never') {
  if (iso === null) return none
  const ms = Date.parse(iso)
  return html`<time datetime=${iso} title=${formatFullTime(ms)}>${formatAge(Math.max(0, nowMs - ms))}</time>`
}

/** @param {Series} series */
export function latestText({ latest, unit }) {
  if (latest === undefined || latest === null) return '–'
  const text = formatValue(latest.value)
  return typeof latest.value === 'number' ? withUnit(text, unit) : text
}

/**
 * What people call an agent; its id until its name is known.
 * @param {readonly Agent[] | null} agents
 * @param {string} agentId
 */
export const agentName = (agents, agentId) => agents?.find(agent => agent.agentId === agentId)?.name ?? agentId

/**
 * Around an anomaly, with it chosen: as long before as after, twelve hours or three times its length.
 * @param {Anomaly} anomaly
 * @param {number} nowMs
 */
export function anomalyLink(anomaly, nowMs) {
  const openedMs = Date.parse(anomaly.openedAt)
  const closedMs = anomaly.closedAt === null ? Math.max(openedMs, nowMs) : Date.parse(anomaly.closedAt)
  const marginMs = Math.max(12 * 3_600_000, 3 * (closedMs - openedMs))
  const toMs = Math.max(openedMs + 60_000, Math.min(nowMs, closedMs + marginMs))
  return formatRoute({
    view: 'series',
    ids: [anomaly.seriesId],
    span: { fromMs: openedMs - marginMs, toMs },
    anomaly: anomaly.anomalyId,
    live: false,
  })
}

/** @type {Readonly<Record<AgentStatus, { dot: string, text: string }>>} */
const statuses = {
  online: { dot: 'ok', text: 'Online' },
  offline: { dot: 'critical', text: 'Offline' },
  never: { dot: 'hollow', text: 'Never seen' },
  revoked: { dot: '', text: 'Revoked' },
}

/** @param {AgentStatus} status */
export const agentStatus = status =>
  html`<span class="severity"><span class="dot ${statuses[status].dot}"></span>${statuses[status].text}</span>`

/**
 * A command with a button that copies it.
 * @param {string} command
 */
export const commandLine = command => html`<div class="command"><code>${command}</code><button
  class="icon-button small"
  type="button"
  title="Copy"
  aria-label="Copy the command"
  data-copy=${command}
>${icons.copy}</button></div>`

/**
 * Grey bars where text will stand.
 * @param {number} rows
 * @param {number} columns
 */
export const skeletonRows = (rows, columns) =>
  Array.from(
    { length: rows },
    (_, row) =>
      html`<tr aria-hidden="true">${Array.from(
        { length: columns },
        (_, column) => html`<td><span class="skeleton bar-${((row + column) % 3) + 1}"></span></td>`,
      )}</tr>`,
  )

/**
 * @param {string | null} error
 * @param {() => void} retry
 */
export const failureNote = (error, retry) =>
  error === null
    ? nothing
    : html`<div class="empty" role="alert">
        <h3>This could not be loaded</h3>
        <p>${error}</p>
        <button class="button" type="button" @click=${retry}>Try again</button>
      </div>`
