/**
 * Agents: whether they are heard, how far behind they are, and what became of every reading that they took.
 *
 * @import { Agent, AgentCounters, AppState, ClassCounters } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { formatCount, formatDuration, formatExact } from '../format.js'
import { enrolSteps } from './first-steps.js'
import { agentStatus, ago } from './parts.js'

/** @type {readonly { name: keyof AgentCounters, text: string, bad?: boolean }[]} */
const counters = [
  { name: 'accepted', text: 'Accepted' },
  { name: 'stored', text: 'Stored' },
  { name: 'folded', text: 'Folded' },
  { name: 'suppressed', text: 'Suppressed' },
  { name: 'maybeDuplicate', text: 'Maybe repeated' },
  { name: 'deadLettered', text: 'Dead letters', bad: true },
  { name: 'evicted', text: 'Evicted', bad: true },
]

/** @type {readonly { name: 'accepted' | 'stored' | 'folded' | 'suppressed' | 'evicted', text: string, bad?: boolean }[]} */
const fates = [
  { name: 'accepted', text: 'Accepted' },
  { name: 'stored', text: 'Stored' },
  { name: 'folded', text: 'Folded' },
  { name: 'suppressed', text: 'Suppressed' },
  { name: 'evicted', text: 'Evicted', bad: true },
]

/** @type {Readonly<Record<ClassCounters['class'], string>>} */
const classNames = { raw: 'Raw', aggregate: 'Aggregate', alarm: 'Alarm' }

const conflictText =
  'Batches came under identities that the hub has with other contents: is this gateway running twice, or restored from an image? Their readings are sent again under new identities.'

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
      ${fact('Missing batches', formatCount(agent.missingBatches), agent.missingBatches > 0)}
      ${fact('Conflicts', formatCount(agent.conflicts), agent.conflicts > 0)}
    </dl>
    ${agent.conflicts === 0 ? nothing : html`<p class="soft">${conflictText}</p>`}
    ${classTable(agent)}
    <div class="agent-foot">
      <code class="quiet">${agent.agentId}</code>
      ${Object.entries(agent.labels).map(([name, value]) => html`<span class="tag">${name}: ${value}</span>`)}
      ${agent.keys > 1 ? html`<span class="tag">${agent.keys} keys valid</span>` : nothing}
      ${agent.revokedAt === null ? nothing : html`<span class="soft">revoked ${ago(agent.revokedAt, nowMs)}</span>`}
    </div>
  </article>`
}

/** What became of the readings of each class; nothing while all are raw. @param {Agent} agent */
function classTable({ name, classes }) {
  const used = classes.filter(one => one.accepted > 0)
  if (used.every(one => one.class === 'raw')) return nothing
  return html`<div class="table-wrap"><table class="class-table">
    <caption class="sr-only">Readings of ${name} by class</caption>
    <thead><tr><th scope="col">Class</th>${fates.map(fate => html`<th scope="col" class="number">${fate.text}</th>`)}</tr></thead>
    <tbody>${used.map(
      one =>
        html`<tr><th scope="row">${classNames[one.class]}</th>${fates.map(({ name: fate, bad = false }) => {
          const count = one[fate]
          return html`<td class="number ${bad && count > 0 ? 'bad' : ''}" title=${formatExact(count)}>${formatCount(count)}</td>`
        })}</tr>`,
    )}</tbody>
  </table></div>`
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {boolean} [bad]
 */
const fact = (name, value, bad = false) =>
  html`<div><dt>${name}</dt><dd class="number ${bad ? 'bad' : ''}">${value}</dd></div>`
