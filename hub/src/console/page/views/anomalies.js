/**
 * All anomalies, the newest first, as far as one scrolls.
 *
 * @import { AppState, Route } from '../types.d.ts'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { formatRoute } from '../router.js'
import { anomalyTable } from './anomaly-table.js'
import { failureNote } from './parts.js'

/** @type {readonly { filter: Route['filter'], text: string, empty: string }[]} */
const filters = [
  { filter: 'all', text: 'All', empty: 'Nothing unusual was seen yet. A series is watched from its 50th reading on.' },
  { filter: 'open', text: 'Open', empty: 'No anomaly is open.' },
  { filter: 'critical', text: 'Critical', empty: 'No critical anomaly was seen.' },
]

/**
 * @param {AppState} state
 * @param {{ moreAnomalies: () => void, reloadAnomalies: () => void }} actions
 */
export function anomaliesView({ anomalies, route, nowMs }, actions) {
  const { items, loading, next, error } = anomalies
  const empty = filters.find(one => one.filter === route.filter)?.empty ?? ''
  return html`<div class="view">
    <div class="view-head">
      <h1>Anomalies</h1>
      <nav class="segments aside" aria-label="Which">
        ${filters.map(
          ({ filter, text }) => html`<a
            href=${formatRoute({ view: 'anomalies', filter })}
            aria-current=${route.filter === filter ? 'true' : nothing}
          >${text}</a>`,
        )}
      </nav>
    </div>
    <section class="panel flat-top" aria-label="Anomalies">
      ${
        error !== null && items.length === 0
          ? failureNote(error, () => actions.reloadAnomalies())
          : anomalyTable(loading === 'first' ? null : items, nowMs, { figures: true, empty })
      }
      ${
        next === null
          ? nothing
          : html`<div class="more"><button class="button" type="button" ?disabled=${loading !== 'no'} @click=${() => actions.moreAnomalies()}>
              ${loading === 'more' ? 'Loading…' : 'Show more'}
            </button></div>`
      }
    </section>
  </div>`
}
