/**
 * Keys of the whole page. Single letters act only outside of fields, and never with Ctrl, Alt or Meta, which belong to the browser.
 *
 * @import { Store } from './store.js'
 * @import { Console } from './console.js'
 * @import { ViewName } from './types.d.ts'
 */
import { home } from './router.js'

/** How long `g` waits for the letter of a view, ms. */
const chordMs = 1500

/** @type {Readonly<Record<string, ViewName>>} */
const viewKeys = { o: 'overview', s: 'series', a: 'anomalies', g: 'agents' }

/**
 * @param {Store} store
 * @param {Console} app
 */
export function listenToKeys(store, app) {
  let chordUntilMs = 0
  document.addEventListener('keydown', event => {
    const { session } = store.get()
    if (session === null || session === 'unknown' || event.ctrlKey || event.altKey || event.metaKey) return
    if (event.key === 'Escape') return app.escape()
    if (event.target instanceof HTMLElement && event.target.matches('input, textarea, select')) return
    const view = Date.now() < chordUntilMs ? viewKeys[event.key] : undefined
    chordUntilMs = event.key === 'g' && view === undefined ? Date.now() + chordMs : 0
    if (view !== undefined) return app.go({ ...home, view })
    const act = actionOf(event.key, store, app)
    if (act === undefined) return
    event.preventDefault()
    act()
  })
}

/**
 * @param {string} key
 * @param {Store} store
 * @param {Console} app
 * @returns {(() => void) | undefined}
 */
function actionOf(key, store, app) {
  const { route, overlay } = store.get()
  const everywhere = {
    '/': () => app.focusSearch(),
    '?': () => app.setOverlay(overlay === 'shortcuts' ? 'none' : 'shortcuts'),
    t: () => app.nextTheme(),
  }
  const withChart = {
    '+': () => app.chart.zoomBy(0.5),
    '-': () => app.chart.zoomBy(2),
    0: () => app.chart.resetZoom(),
    n: () => app.chart.pickNext(1),
    p: () => app.chart.pickNext(-1),
    l: () => app.chart.toggleLive(),
  }
  const charted = route.view === 'series' && route.ids.length > 0
  return new Map(Object.entries(charted ? { ...everywhere, ...withChart } : everywhere)).get(key)
}
