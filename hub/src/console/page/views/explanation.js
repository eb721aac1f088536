/**
 * Why an anomaly was flagged: a card at its mark, on a phone at the bottom of the screen.
 *
 * @import { Anomaly } from '../types.d.ts'
 */
import { html, nothing, svg } from '/console/vendor/lit-html.js'
import { criticalAt, durationOf, explain, meterTop, opensAt } from '../explain.js'
import { formatFullTime, formatNumber } from '../format.js'
import { icons } from './icons.js'
import { severityMark, stateTag } from './parts.js'

/**
 * @param {Anomaly} anomaly
 * @param {number} nowMs
 * @param {() => void} close
 */
export function explanationCard(anomaly, nowMs, close) {
  const { title, seen, expected, meaning, difference, seenBefore, notes } = explain(anomaly)
  return html`<section
    id="explanation"
    class="explanation"
    role="dialog"
    aria-labelledby="explanation-title"
    tabindex="-1"
    data-focus=${anomaly.anomalyId}
  >
    <div class="explanation-head">
      ${severityMark(anomaly.severity)} ${stateTag(anomaly)}
      <button class="icon-button small" type="button" aria-label="Close the explanation" @click=${close}>${icons.close}</button>
    </div>
    <h3 id="explanation-title">${title}</h3>
    <p class="quiet">${anomaly.device} · ${anomaly.metric}</p>
    <dl class="compare-values">
      <div><dt>Seen</dt><dd class="number">${seen}</dd></div>
      <div><dt>Expected</dt><dd class="number">${expected}</dd></div>
      ${difference === null ? nothing : html`<div><dt>Difference</dt><dd class="number">${difference}</dd></div>`}
    </dl>
    <p class="meaning quiet">${meaning}</p>
    <dl class="reasons">
      <div>
        <dt>Surprise</dt>
        <dd>
          <span class="number">${formatNumber(Math.round(anomaly.surprise * 100) / 100)}</span>${meter(anomaly)}
          <span class="scale quiet">opens at ${opensAt}, critical from ${criticalAt}</span>
        </dd>
      </div>
      <div><dt>Seen before</dt><dd>${seenBefore}</dd></div>
      <div><dt>Opened</dt><dd class="number"><time datetime=${anomaly.openedAt}>${formatFullTime(Date.parse(anomaly.openedAt))}</time></dd></div>
      <div><dt>${anomaly.closedAt === null ? 'Open for' : 'Lasted'}</dt><dd class="number">${durationOf(anomaly, nowMs)}</dd></div>
    </dl>
    ${notes.map(note => html`<p class="note">${note}</p>`)}
  </section>`
}

/** @param {Anomaly} anomaly */
function meter({ surprise, severity }) {
  const x = (/** @type {number} */ value) => (Math.min(value, meterTop) / meterTop) * 120
  return html`<svg class="meter ${severity}" viewBox="0 0 120 14" aria-hidden="true">
    ${svg`<rect class="meter-back" x="0" y="4" width="120" height="6" rx="3" />
    <rect class="meter-value" x="0" y="4" width=${x(surprise)} height="6" rx="3" />
    <path class="meter-tick" d="M${x(opensAt)} 1v12M${x(criticalAt)} 1v12" />`}
  </svg>`
}
