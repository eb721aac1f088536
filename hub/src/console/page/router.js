/**
 * Addresses of views: `#/series?ids=1,2&range=24h`. Pure in both directions; what cannot be read falls back to its default, so that a
 * mistyped address still shows something. Nothing secret is ever part of one.
 *
 * @import { Route, RangeName, Span, ViewName } from './types.d.ts'
 */

/** @type {readonly ViewName[]} */
export const viewNames = ['overview', 'series', 'anomalies', 'agents']

const hourMs = 3_600_000

/** @type {Readonly<Record<RangeName, number>>} */
export const rangeMs = {
  '1h': hourMs,
  '6h': 6 * hourMs,
  '24h': 24 * hourMs,
  '7d': 7 * 24 * hourMs,
  '30d': 30 * 24 * hourMs,
  '90d': 90 * 24 * hourMs,
  all: Number.POSITIVE_INFINITY,
}

/** Nothing that the hub stores is older. */
export const earliestMs = Date.UTC(2000, 0, 1)

/** Series in one chart: as many colours as can be told apart. */
export const maxCharted = 8

/** @type {Route} */
export const home = {
  view: 'overview',
  ids: [],
  q: '',
  range: '24h',
  span: null,
  live: true,
  anomaly: null,
  filter: 'all',
}

/**
 * @param {string} hash
 * @returns {Route}
 */
export function parseRoute(hash) {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const query = new URLSearchParams(search)
  const view = viewNames.find(name => name === path) ?? 'overview'
  const range = query.get('range') ?? ''
  const filter = query.get('show')
  return {
    view,
    ids: parseIds(query.get('ids') ?? ''),
    q: (query.get('q') ?? '').slice(0, 256),
    range: Object.hasOwn(rangeMs, range) ? /** @type {RangeName} */ (range) : home.range,
    span: parseSpan(query.get('from'), query.get('to')),
    live: query.get('live') !== '0',
    anomaly: /^[0-9a-f-]{36}$/.exec(query.get('anomaly') ?? '')?.[0] ?? null,
    filter: filter === 'open' || filter === 'critical' ? filter : 'all',
  }
}

/** @param {string} text */
function parseIds(text) {
  const ids = text.split(',').map(Number)
  const valid = ids.filter(id => Number.isInteger(id) && id >= 1 && id < 2 ** 31)
  return [...new Set(valid)].slice(0, maxCharted)
}

/**
 * @param {string | null} from
 * @param {string | null} to
 * @returns {Span | null}
 */
function parseSpan(from, to) {
  if (from === null || to === null) return null
  const [fromMs, toMs] = [Number(from), Number(to)]
  const valid = Number.isFinite(fromMs) && Number.isFinite(toMs) && fromMs < toMs && Math.abs(toMs) < 8.64e15
  return valid ? { fromMs, toMs } : null
}

/**
 * @param {Partial<Route>} parts
 * @returns {string}
 */
export function formatRoute(parts) {
  const route = { ...home, ...parts }
  const query = new URLSearchParams()
  if (route.q !== '') query.set('q', route.q)
  if (route.ids.length > 0) query.set('ids', route.ids.join(','))
  if (route.ids.length > 0 && route.span === null) query.set('range', route.range)
  if (route.span !== null) {
    query.set('from', String(Math.round(route.span.fromMs)))
    query.set('to', String(Math.round(route.span.toMs)))
    if (route.range !== home.range) query.set('range', route.range)
  }
  if (!route.live) query.set('live', '0')
  if (route.anomaly !== null) query.set('anomaly', route.anomaly)
  if (route.filter !== 'all') query.set('show', route.filter)
  const search = query.toString().replaceAll('%2C', ',')
  const path = route.view === 'overview' ? '' : route.view
  return search === '' ? `#/${path}` : `#/${path}?${search}`
}

/**
 * The span that a route asks for, at a time.
 * @param {Route} route
 * @param {number} nowMs
 * @param {number} firstMs where `all` begins
 * @returns {Span}
 */
export function spanOf(route, nowMs, firstMs) {
  if (route.span !== null) return route.span
  const lengthMs = rangeMs[route.range]
  return { fromMs: Number.isFinite(lengthMs) ? nowMs - lengthMs : Math.min(firstMs, nowMs - hourMs), toMs: nowMs }
}
