/**
 * The page as a function of the state.
 *
 * @import { AppState } from '../types.d.ts'
 * @import { Console } from '../console.js'
 */
import { html, nothing } from '/console/vendor/lit-html.js'
import { agentsView } from './agents.js'
import { anomaliesView } from './anomalies.js'
import { chartView } from './chart-view.js'
import { overviewView } from './overview.js'
import { seriesList } from './series-list.js'
import { shellView } from './shell.js'
import { shortcutsView } from './shortcuts.js'
import { signInView } from './sign-in.js'

/**
 * @param {AppState} state
 * @param {Console} app
 */
export function page(state, app) {
  if (state.session === null) return signInView(state, app)
  return html`${shellView(state, app, state.session === 'unknown' ? nothing : viewOf(state, app))}
  ${state.overlay === 'shortcuts' ? shortcutsView(() => app.setOverlay('none')) : nothing}`
}

/**
 * @param {AppState} state
 * @param {Console} app
 */
function viewOf(state, app) {
  switch (state.route.view) {
    case 'overview':
      return overviewView(state)
    case 'series':
      return seriesView(state, app)
    case 'anomalies':
      return anomaliesView(state, app)
    case 'agents':
      return agentsView(state)
  }
}

/**
 * The list alone, or beside the chart of what was chosen in it; on a phone one of the two.
 * @param {AppState} state
 * @param {Console} app
 */
function seriesView(state, app) {
  const charting = state.route.ids.length > 0
  const picking = charting && state.overlay === 'picker'
  return html`<div class="series-view ${charting ? 'charting' : ''} ${picking ? 'picking' : ''}">
    ${charting ? nothing : html`<div class="view-head"><h1>Series</h1></div>`}
    ${seriesList(state, app)}
    ${charting ? chartView(state, app.span(), app) : nothing}
  </div>`
}
