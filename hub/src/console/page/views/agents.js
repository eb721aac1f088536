/**
 * Agents: whether they are heard, how far behind they are, and what became of every reading that they took.
 *
 * @import { Agent, AppState } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { formatCount, formatDuration, formatExact } from '../format.js'
import { enrolSteps } from './first-steps.js'
import { agentStatus, ago } from './parts.js'

/** @type {readonly { name: string, text: string, bad?: boolean }[]} */
const counters = [
  { name: 'accepted', text: 'Accepted' },
  { name: 'stored', text: 'Stored' },
  { name: 'suppressed', text: 'Suppressed' },
  { name: 'maybeDuplicate', text: 'Maybe repeated' },
  { name: 'deadLettered', text: 'Dead letters', bad: true },
  { name: 'evicted', text: 'Evicted', bad: true },
]

/** @param {AppState} state */
export function agentsView({ agents, nowMs }) {
  return html`<div class="view">
    <div class="view-head"><h1>Agents</h1></div>
    ${agents === null ? html`<section class="panel agent-card"><span class="skeleton agent-bar"></span></section>` : nothing}
    ${agents !== null && agents.length === 0 ? html`<section class="panel">${enrolSteps(location.origin)}</section>` : nothing}
    <ul class="agent-cards">${agents?.map(agent => html`<li>${agentCard(agent, nowMs)}</li>`)}</ul>
  </div>`
}

/**
 * @param {Agent} agent
 * @param {number} nowMs
 */
function agentCard(agent, nowMs) {
  return html`<article class="panel agent-card" aria-label="Agent ${agent.name}">
    <div class="agent-head">
      <h2>${agent.name}</h2>
      <span class="tag">${agent.site}</span>
      ${agentStatus(agent.status)}
    </div>
    <dl class="facts">
      ${fact('Last seen', ago(agent.lastSeenAt, nowMs))}
      ${fact('Newest reading', ago(agent.lastReadingAt, nowMs, 'none'))}
      ${fact('Lag', agent.lagMs === null ? '–' : formatDuration(Math.max(0, agent.lagMs)))}
      ${fact('Backlog', agent.backlogReadings === null ? '–' : formatCount(agent.backlogReadings), (agent.backlogReadings ?? 0) > 10_000)}
      ${counters.map(({ name, text, bad = false }) => {
        const count = agent.counters?.[name]
        return fact(
          text,
          count === undefined ? '–' : html`<span title=${formatExact(count)}>${formatCount(count)}</span>`,
          bad && (count ?? 0) > 0,
        )
      })}
      ${fact('Lost', formatCount(agent.lostReadings), agent.lostReadings > 0)}
    </dl>
    <div class="agent-foot">
      <code class="quiet">${agent.agentId}</code>
      ${Object.entries(agent.labels).map(([name, value]) => html`<span class="tag">${name}: ${value}</span>`)}
      ${agent.keys > 1 ? html`<span class="tag">${agent.keys} keys valid</span>` : nothing}
      ${agent.revokedAt === null ? nothing : html`<span class="soft">revoked ${ago(agent.revokedAt, nowMs)}</span>`}
    </div>
  </article>`
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {boolean} [bad]
 */
const fact = (name, value, bad = false) =>
  html`<div><dt>${name}</dt><dd class="number ${bad ? 'bad' : ''}">${value}</dd></div>`
