/**
 * The fleet at a glance: what is stored, how fast, who is heard, what is unusual, what was lost.
 *
 * @import { Agent, AppState, Overview, Points, Series } from '../types.d.ts'
 */
import { html, nothing, svg } from '/console/vendor/lit-html.js'
import { formatCount, formatDuration, formatExact, formatRate } from '../format.js'
import { formatRoute } from '../router.js'
import { anomalyTable } from './anomaly-table.js'
import { enrolSteps, publishSteps } from './first-steps.js'
import { agentStatus, ago, latestText } from './parts.js'

/** @param {AppState} state */
export function overviewView(state) {
  const { overview } = state
  return html`<div class="view">
    <div class="view-head"><h1>Overview</h1></div>
    <section class="tiles panel" aria-label="Figures" aria-busy=${overview === null}>
      ${overview === null ? skeletonTiles() : tiles(overview, state.rates)}
    </section>
    ${overview !== null && overview.agents.total === 0 ? html`<section class="panel">${enrolSteps(location.origin)}</section>` : nothing}
    ${
      overview !== null && overview.agents.total > 0 && overview.series === 0
        ? html`<section class="panel">${publishSteps()}</section>`
        : nothing
    }
    ${overview === null || overview.series > 0 ? html`${sparkCards(state)}${columns(state)}` : nothing}
  </div>`
}

/**
 * @param {string} label
 * @param {unknown} value
 * @param {unknown} note
 * @param {string} [href]
 */
const tile = (label, value, note, href) => html`<div class="tile">
  <h2 class="tile-label">${href === undefined ? label : html`<a class="tile-link" href=${href}>${label}</a>`}</h2>
  <p class="tile-value number">${value}</p>
  <p class="tile-note">${note}</p>
</div>`

/**
 * @param {Overview} overview
 * @param {number[]} rates
 */
function tiles({ readings, series, readingsPerSecond, agents, anomalies, lost }, rates) {
  const heard = agents.total - agents.revoked
  return html`
    ${tile(
      'Readings stored',
      html`<span title=${formatExact(readings)}>${formatCount(readings)}</span>`,
      `in ${formatCount(series)} series`,
      formatRoute({ view: 'series' }),
    )}
    ${tile('Rate', html`${formatRate(readingsPerSecond)}<small> /s</small>`, rateLine(rates))}
    ${tile(
      'Agents online',
      html`${agents.online}<small> of ${heard}</small>`,
      agents.offline > 0
        ? html`<span class="dot critical"></span>${agents.offline} offline`
        : heard > 0
          ? 'all heard'
          : 'none enrolled',
      formatRoute({ view: 'agents' }),
    )}
    ${tile(
      'Open anomalies',
      formatCount(anomalies.open),
      html`${
        anomalies.critical > 0
          ? html`<span class="dot critical"></span>${formatCount(anomalies.critical)} critical<span class="wide-only quiet">·</span>`
          : nothing
      }<span class=${anomalies.critical > 0 ? 'wide-only' : ''}>${formatCount(anomalies.lastDay)} in 24 h</span>`,
      formatRoute({ view: 'anomalies', filter: 'open' }),
    )}
    ${tile(
      'Readings lost',
      formatCount(lost),
      lost === 0 ? 'by no agent' : html`<span class="dot warning"></span>by agents`,
      formatRoute({ view: 'agents' }),
    )}`
}

const skeletonTiles = () =>
  ['Readings stored', 'Rate', 'Agents online', 'Open anomalies', 'Readings lost'].map(label =>
    tile(label, html`<span class="skeleton tile-bar"></span>`, html`<span class="skeleton note-bar"></span>`),
  )

/** @param {number[]} rates */
function rateLine(rates) {
  if (rates.length < 2) return 'stored a second'
  const top = Math.max(...rates, 1e-9)
  const points = rates.map(
    (rate, i) => `${((i / (rates.length - 1)) * 120).toFixed(1)},${(19 - (rate / top) * 18).toFixed(1)}`,
  )
  return html`<svg class="rate-line" viewBox="0 0 120 20" preserveAspectRatio="none" aria-hidden="true">
    ${svg`<polyline points=${points.join(' ')} vector-effect="non-scaling-stroke" />`}
  </svg>`
}

/** @param {AppState} state */
function sparkCards({ sparks, nowMs }) {
  const cards = sparks ?? [null, null, null, null]
  if (cards.length === 0) return nothing
  return html`<section aria-label="Series to look at" class="sparks">
    ${cards.map(card => (card === null ? html`<div class="spark panel"><span class="skeleton spark-bar"></span></div>` : sparkCard(card, nowMs)))}
  </section>`
}

/**
 * @param {{ series: Series, points: Points | null }} card
 * @param {number} nowMs
 */
function sparkCard({ series, points }, nowMs) {
  const open = series.openAnomalies ?? 0
  return html`<a class="spark panel" href=${formatRoute({ view: 'series', ids: [series.seriesId] })}>
    <span class="spark-name truncate"><b>${series.device}</b> ${series.metric}</span>
    <span class="spark-value number truncate">${latestText(series)}</span>
    <span class="spark-note">${
      open > 0
        ? html`<span class="badge warning">${open} open</span>`
        : html`<span class="quiet">${ago(series.latest?.ts ?? null, nowMs)}</span>`
    }</span>
    ${sparkLine(points)}
  </a>`
}

/** @param {Points | null} points */
function sparkLine(points) {
  if (points === null || points.tsMs.length < 2)
    return html`<svg class="spark-line" viewBox="0 0 200 40" aria-hidden="true"></svg>`
  const low = Math.min(...points.value)
  const height = Math.max(...points.value) - low || 1
  const first = /** @type {number} */ (points.tsMs[0])
  const width = /** @type {number} */ (points.tsMs.at(-1)) - first || 1
  const path = points.value.map((value, i) => {
    const x = /** @type {number} */ ((points.tsMs[i] - points.fromMs) / width) * 200
    return `${x.toFixed(1)},${(37 - ((value - low) / height) * 34).toFixed(1)}`
  })
  return html`<svg class="spark-line" viewBox="0 0 200 40" preserveAspectRatio="none" aria-hidden="true">
    ${svg`<polyline points=${path.join(' ')} vector-effect="non-scaling-stroke" />`}
  </svg>`
}

/** @param {AppState} state */
function columns({ recent, agents, nowMs }) {
  return html`<div class="columns">
    <section class="panel" aria-labelledby="recent-title">
      <div class="panel-head">
        <h2 id="recent-title">Recent anomalies</h2>
        <a class="aside" href=${formatRoute({ view: 'anomalies' })}>All anomalies</a>
      </div>
      ${anomalyTable(recent?.slice(0, 8) ?? null, nowMs)}
    </section>
    <section class="panel" aria-labelledby="agents-title">
      <div class="panel-head">
        <h2 id="agents-title">Agents</h2>
        <a class="aside" href=${formatRoute({ view: 'agents' })}>All agents</a>
      </div>
      <ul class="agent-list">
        ${
          agents === null
            ? [1, 2, 3].map(() => html`<li><span class="skeleton bar-2"></span></li>`)
            : agents
                .filter(agent => agent.status !== 'revoked')
                .slice(0, 8)
                .map(agentLine)
        }
      </ul>
    </section>
  </div>`
}

/** @param {Agent} agent */
const agentLine = agent => html`<li>
  <span class="agent-line-name truncate"><b>${agent.name}</b> <span class="quiet">${agent.site}</span></span>
  ${agentStatus(agent.status)}
  <span class="agent-line-lag quiet number">${agent.lagMs === null ? '–' : html`lag ${formatDuration(Math.max(0, agent.lagMs))}`}</span>
</li>`
