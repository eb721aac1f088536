/**
 * The console: one state, views that are functions of it, and a stream that keeps it up to date.
 *
 *   address ──router──► state ──views──► page
 *                        ▲  ▲
 *      API ──loaders─────┘  └─────stream── events
 *
 * The chart and its library are loaded when a chart is first asked for.
 */
import { render } from '/console/vendor/lit-html.js'
import { Console } from './console.js'
import { listenToKeys } from './keyboard.js'
import { home } from './router.js'
import { createStore } from './store.js'
import { applyTheme, rememberedTheme } from './theme.js'
import { page } from './views/page.js'

const root = /** @type {HTMLElement} */ (document.getElementById('app'))
const emptyList = { items: [], next: null, loading: /** @type {const} */ ('first'), error: null }

/** @type {import('./types.d.ts').AppState} */
const initial = {
  session: 'unknown',
  signIn: { busy: false, error: null },
  route: home,
  connection: { mode: 'idle' },
  overview: null,
  rates: [],
  agents: null,
  recent: null,
  list: emptyList,
  activeRow: 0,
  anomalies: emptyList,
  charted: [],
  sparks: null,
  overlay: 'none',
  theme: rememberedTheme(),
  failure: null,
  hubAheadMs: 0,
  nowMs: Date.now(),
}

applyTheme(initial.theme)
const store = createStore(initial, state => {
  render(page(state, app), root)
  app.drawn()
})
const app = new Console(store)
listenToKeys(store, app)
app.start()
