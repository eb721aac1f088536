/**
 * What the console does: it follows the address, loads what a view shows, takes in events, and answers to people. Views and keys call
 * its methods; it changes the state and nothing else.
 *
 * @import { Anomaly, AppState, NewPoints, Route } from './types.d.ts'
 * @import { Store } from './store.js'
 */
import {
  ApiError,
  closeSession,
  currentSession,
  getAgents,
  getAnomalies,
  getOverview,
  getSeries,
  messageOf,
  openSession,
} from './api.js'
import { ChartNavigation } from './chart-navigation.js'
import { copyCommand } from './clipboard.js'
import { ChartData, firstReadingMs } from './data/chart-data.js'
import { PagedLoader } from './data/paged-list.js'
import { loadSparks } from './data/sparks.js'
import { Focus } from './focus.js'
import { formatRoute, home, maxCharted, parseRoute, spanOf } from './router.js'
import { EventFeed } from './stream.js'
import { applyTheme, isDark } from './theme.js'
import { rowHeight, visibleRows } from './views/series-list.js'

const tickMs = 1000
const listRefreshMs = 5000
const sparkRefreshMs = 30_000
const searchDelayMs = 150
/** Of the hub, when the stream broke. */
const answerWithinMs = 5000
const ratesKept = 120

export class Console {
  #store
  #feed
  #chartData
  #list
  #anomalies
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #searching
  #firstMs = Number.POSITIVE_INFINITY
  #refreshedListMs = 0
  #refreshedSparksMs = 0
  #focus = new Focus()

  /** @param {Store} store */
  constructor(store) {
    this.#store = store
    /** Moving in time, and from anomaly to anomaly. */
    this.chart = new ChartNavigation({
      route: () => store.get().route,
      span: () => this.span(),
      now: () => this.#hubNow(),
      go: (parts, how) => this.go(parts, how),
    })
    this.#chartData = new ChartData(charted => store.update({ charted }))
    this.#list = new PagedLoader(
      (cursor, signal) => getSeries({ q: store.get().route.q, limit: 100, ...(cursor && { cursor }) }, signal),
      list => store.update({ list }),
    )
    this.#anomalies = new PagedLoader(
      (cursor, signal) =>
        getAnomalies({ ...anomalyQuery(store.get().route), limit: 100, ...(cursor && { cursor }) }, signal),
      anomalies => store.update({ anomalies }),
    )
    this.#feed = new EventFeed({
      onEvent: (name, document) => this.#onEvent(name, document),
      onConnection: connection => store.update({ connection, nowMs: this.#hubNow() }),
      onOpened: () => this.#afterBreak(),
      whyBroken: () => this.#whyBroken(),
    })
  }

  async start() {
    this.#store.update({ route: parseRoute(location.hash) })
    window.addEventListener('popstate', () => this.#follow(parseRoute(location.hash)))
    window.addEventListener('online', () => this.retryConnection())
    document.addEventListener('click', copyCommand)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#store.update({}))
    setInterval(() => this.#tick(), tickMs)
    await this.#resume()
  }

  /** A session that is still good, or the sign-in page. Without an answer: again, a little later. */
  async #resume() {
    try {
      const session = await currentSession()
      this.#store.update({ session, failure: null })
      this.#begin()
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.#store.update({ session: null, failure: null })
      else {
        this.#store.update({ failure: `${messageOf(error)} Trying again.` })
        setTimeout(() => this.#resume(), 3000)
      }
    }
  }

  #begin() {
    this.#feed.watch(this.#store.get().route.ids)
    this.#load(this.#store.get().route)
  }

  /* ---- sign in and out ---- */

  /** @param {string} key */
  async signIn(key) {
    this.#store.update({ signIn: { busy: true, error: null } })
    try {
      await openSession(key)
      this.#store.update({ session: await currentSession(), signIn: { busy: false, error: null } })
      this.#begin()
    } catch (error) {
      const refused = error instanceof ApiError && (error.status === 401 || error.status === 400)
      const text = refused ? 'The hub does not know this key. Check that it was copied whole.' : messageOf(error)
      this.#store.update({ signIn: { busy: false, error: text } })
    }
  }

  async signOut() {
    this.#feed.close()
    await closeSession().catch(() => undefined)
    this.#signedOut()
  }

  /** Nothing of what was shown is kept. */
  #signedOut() {
    this.#feed.close()
    const list = { items: [], next: null, loading: /** @type {const} */ ('first'), error: null }
    const shown = { overview: null, rates: [], agents: null, recent: null, sparks: null, charted: [] }
    this.#store.update({ ...shown, list, anomalies: list, session: null, overlay: 'none' })
  }

  /* ---- address ---- */

  /**
   * @param {Partial<Route>} parts
   * @param {{ replace?: boolean }} [how]
   */
  go(parts, { replace = false } = {}) {
    const route = { ...this.#store.get().route, ...parts }
    const address = formatRoute(route)
    if (replace) history.replaceState(null, '', address)
    else history.pushState(null, '', address)
    this.#follow(route)
  }

  /** @param {Route} route */
  #follow(route) {
    const { route: before, session, overlay } = this.#store.get()
    const picking = overlay === 'picker' && String(before.ids) === String(route.ids)
    this.#store.update({ route, overlay: picking ? 'picker' : 'none' })
    if (session === null || session === 'unknown') return
    this.#feed.watch(route.ids)
    if (needsLoading(before, route)) this.#load(route)
  }

  /** @param {Route} route */
  #load(route) {
    this.#loadOverview()
    if (route.view === 'series') {
      if (this.#store.get().list.items.length === 0) this.#list.reload()
      this.#showChart(route)
    }
    if (route.view === 'anomalies') this.#anomalies.reload()
  }

  /** Figures and agents come with the stream; these are for the first moment, and for when there is no stream. */
  async #loadOverview() {
    const [overview, agents, recent] = await Promise.all([
      getOverview().catch(() => null),
      getAgents().catch(() => null),
      getAnomalies({ limit: 20 }).catch(() => null),
    ])
    if (overview !== null) this.#takeOverview(overview)
    this.#store.update({ ...(agents && { agents: agents.items }), ...(recent && { recent: recent.items }) })
    if (this.#store.get().route.view === 'overview') await this.#loadSparks()
  }

  async #loadSparks() {
    this.#refreshedSparksMs = Date.now()
    const sparks = await loadSparks(this.#store.get().recent ?? [], this.#hubNow()).catch(() => null)
    if (sparks !== null) this.#store.update({ sparks })
  }

  /** @param {Route} route */
  async #showChart(route) {
    if (route.ids.length === 0) {
      await this.#chartData.show([], () => this.span())
      return
    }
    if (!customElements.get('time-chart')) import('./chart/time-chart.js').then(() => this.#store.update({}))
    this.#firstMs = Number.POSITIVE_INFINITY
    if (route.span === null && route.range === 'all') {
      const nowMs = this.#hubNow()
      const firsts = await Promise.all(route.ids.map(id => firstReadingMs(id, nowMs).catch(() => nowMs)))
      if (this.#store.get().route !== route) return
      this.#firstMs = Math.min(...firsts)
    }
    await this.#chartData.show(route.ids, () => this.span())
  }

  /** The span of time that the chart shows now. */
  span() {
    return spanOf(this.#store.get().route, this.#store.get().nowMs, this.#firstMs)
  }

  /* ---- events ---- */

  /**
   * @param {string} name
   * @param {any} document
   */
  #onEvent(name, document) {
    if (name === 'overview') this.#takeOverview(document)
    else if (name === 'agents') this.#store.update({ agents: document.items })
    else if (name === 'points') this.#takePoints(document)
    else if (name === 'refresh') this.#chartData.refresh(document.seriesId)
    else if (name === 'anomaly') this.#takeAnomaly(document)
  }

  /** @param {AppState['overview'] & {}} overview */
  #takeOverview(overview) {
    const rates = [...this.#store.get().rates, overview.readingsPerSecond].slice(-ratesKept)
    const hubAheadMs = Date.parse(overview.hub.now) - Date.now()
    this.#store.update({ overview, rates, hubAheadMs })
  }

  /** @param {NewPoints} points */
  #takePoints(points) {
    if (this.#store.get().route.live) this.#store.update({ nowMs: this.#hubNow() })
    this.#chartData.append(points)
  }

  /** @param {Anomaly} anomaly */
  #takeAnomaly(anomaly) {
    const others = (this.#store.get().recent ?? []).filter(one => one.anomalyId !== anomaly.anomalyId)
    const recent = [anomaly, ...others].sort((a, b) => Date.parse(b.openedAt) - Date.parse(a.openedAt)).slice(0, 20)
    this.#store.update({ recent })
    this.#chartData.takeAnomaly(anomaly)
  }

  /** What came while nobody listened was not told: load again what is shown. */
  #afterBreak() {
    this.#chartData.reload()
    this.#loadOverview()
  }

  /** @returns {Promise<string | null>} */
  async #whyBroken() {
    try {
      await currentSession(AbortSignal.timeout(answerWithinMs))
      return 'The hub ended the live connection.'
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) return messageOf(error)
      this.#signedOut()
      return null
    }
  }

  retryConnection() {
    if (this.#store.get().connection.mode === 'waiting') this.#feed.retry()
  }

  /* ---- the clock ---- */

  #hubNow() {
    return Date.now() + this.#store.get().hubAheadMs
  }

  #tick() {
    const { route, session, connection } = this.#store.get()
    if (document.hidden) return
    this.#store.update({ nowMs: this.#hubNow() })
    if (session === null || session === 'unknown' || connection.mode !== 'open') return
    const nowMs = Date.now()
    if (route.view === 'series' && nowMs - this.#refreshedListMs > listRefreshMs) {
      this.#refreshedListMs = nowMs
      const { first, last } = visibleRows()
      this.#list.refresh(first, last)
    }
    if (route.view === 'overview' && nowMs - this.#refreshedSparksMs > sparkRefreshMs) this.#loadSparks()
  }

  /* ---- what people do ---- */

  /** @param {string} q */
  search(q) {
    this.go({ q, view: 'series' }, { replace: true })
    this.#store.update({ activeRow: 0 })
    clearTimeout(this.#searching)
    this.#searching = setTimeout(() => this.#list.reload(), searchDelayMs)
  }

  focusSearch() {
    if (this.#store.get().route.view !== 'series') this.go({ ...home, view: 'series' })
    requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById('search')?.focus()))
  }

  reloadList() {
    this.#list.reload()
  }

  listScrolled() {
    this.#store.update({})
    const { list } = this.#store.get()
    if (visibleRows().last > list.items.length - 40) this.#list.more()
  }

  /** @param {number} row */
  moveTo(row) {
    this.#store.update({ activeRow: row })
    const list = document.getElementById('series-list')
    if (list === null) return
    const top = row * rowHeight
    if (top < list.scrollTop) list.scrollTop = top
    else if (top + rowHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + rowHeight - list.clientHeight
    this.listScrolled()
  }

  /** @param {number} seriesId */
  openSeries(seriesId) {
    if (this.#store.get().overlay === 'picker') this.toggleSeries(seriesId)
    else this.go({ ids: [seriesId], anomaly: null })
  }

  /** @param {number} seriesId */
  toggleSeries(seriesId) {
    const { ids } = this.#store.get().route
    if (ids.includes(seriesId)) this.removeSeries(seriesId)
    else if (ids.length < maxCharted) this.go({ ids: [...ids, seriesId] })
    else this.#store.update({ failure: `A chart holds at most ${maxCharted} series. Take one out first.` })
  }

  /** @param {number} seriesId */
  removeSeries(seriesId) {
    this.go({ ids: this.#store.get().route.ids.filter(id => id !== seriesId), anomaly: null })
  }

  /** Where there is room the list stands beside the chart; on a phone it is laid over it. */
  addSeries() {
    this.#store.update({ overlay: 'picker' })
    this.focusSearch()
  }

  retryChart() {
    this.#showChart(this.#store.get().route)
  }

  moreAnomalies() {
    this.#anomalies.more()
  }

  reloadAnomalies() {
    this.#anomalies.reload()
  }

  nextTheme() {
    const theme = isDark(this.#store.get().theme) ? 'light' : 'dark'
    applyTheme(theme)
    this.#store.update({ theme })
  }

  dismissFailure() {
    this.#store.update({ failure: null })
  }

  /** @param {AppState['overlay']} overlay */
  setOverlay(overlay) {
    if (overlay !== 'none') this.#focus.remember()
    this.#store.update({ overlay })
    if (overlay === 'none') this.#focus.giveBack()
  }

  /** Close the topmost thing that is open. */
  escape() {
    const { overlay, route } = this.#store.get()
    if (overlay !== 'none') this.setOverlay('none')
    else if (route.anomaly !== null) this.chart.pick(null)
    else if (document.activeElement?.id === 'search' && route.q !== '') this.search('')
  }

  /** After each drawing. */
  drawn() {
    this.#focus.drawn()
    const { route, session } = this.#store.get()
    document.title = session === null || session === 'unknown' ? 'Tributary' : `${titles[route.view]} · Tributary`
  }
}

const titles = { overview: 'Overview', series: 'Series', anomalies: 'Anomalies', agents: 'Agents' }

/** @param {Route} route */
function anomalyQuery({ filter }) {
  if (filter === 'open') return { open: 'true' }
  return filter === 'critical' ? { severity: 'critical' } : {}
}

/**
 * Whether the view shows something else than before.
 * @param {Route} before
 * @param {Route} now
 */
function needsLoading(before, now) {
  if (before.view !== now.view || before.filter !== now.filter) return true
  if (now.view !== 'series') return false
  return JSON.stringify([before.ids, before.range, before.span]) !== JSON.stringify([now.ids, now.range, now.span])
}
