/**
 * Requests to the hub. The session is a cookie that scripts cannot read: no credential is ever held here, and none stands in a URL.
 *
 * @import { Agent, Anomaly, Page, Points, Series, Session, Overview, Span } from './types.d.ts'
 */

/** An answer that is none: a problem document, or no answer at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message)
    this.name = 'ApiError'
    this.status = status
  }
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error)
}

/** @param {unknown} error */
export function wasAborted(error) {
  return error instanceof DOMException && error.name === 'AbortError'
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
async function request(path, init) {
  const response = await fetch(path, { ...init, credentials: 'same-origin', cache: 'no-store' }).catch(error => {
    if (wasAborted(error)) throw error
    throw new ApiError(0, 'The hub cannot be reached.')
  })
  if (response.ok) return response
  throw new ApiError(response.status, await problemText(response))
}

/** @param {Response} response */
async function problemText(response) {
  const problem = await response.json().catch(() => ({}))
  const detail = typeof problem.detail === 'string' ? problem.detail : `The hub answered ${response.status}.`
  const wait = response.headers.get('retry-after')
  return wait === null ? detail : `${detail} Try again in ${wait} s.`
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} [query]
 * @param {AbortSignal} [signal]
 */
async function getJson(path, query = {}, signal) {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(name, String(value))
  }
  const text = search.size > 0 ? `${path}?${search}` : path
  return (await request(text, signal === undefined ? {} : { signal })).json()
}

/** @param {string} key */
export async function openSession(key) {
  await request('/v1/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key }),
  })
}

/**
 * @param {AbortSignal} [signal]
 * @returns {Promise<Session>}
 */
export const currentSession = signal => getJson('/v1/session', {}, signal)

export async function closeSession() {
  await request('/v1/session', { method: 'DELETE' })
}

/** @returns {Promise<Overview>} */
export const getOverview = () => getJson('/v1/overview')

/** @returns {Promise<Page<Agent>>} */
export const getAgents = () => getJson('/v1/agents', { limit: 1000 })

/**
 * @param {{ q?: string, ids?: string, limit?: number, cursor?: string }} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<Series>>}
 */
export const getSeries = (query, signal) => getJson('/v1/series', { include: 'latest', ...query }, signal)

/**
 * @param {{ series?: number, severity?: string, open?: string, from?: number, to?: number, underWay?: string, limit?: number, cursor?: string }} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page<Anomaly>>}
 */
export const getAnomalies = (query, signal) => getJson('/v1/anomalies', query, signal)

/**
 * @param {number} seriesId
 * @param {Span} span
 * @param {number} points
 * @param {AbortSignal} [signal]
 * @returns {Promise<Points>}
 */
export const getPoints = (seriesId, span, points, signal) =>
  getJson(`/v1/series/${seriesId}/points`, { from: Math.floor(span.fromMs), to: Math.ceil(span.toMs), points }, signal)
