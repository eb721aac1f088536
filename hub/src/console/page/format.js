/**
 * Numbers, times and durations as text. Times are in the browser's zone, 24 hours, day before month in letters: unmistakable on both
 * sides of the Atlantic.
 *
 * @import { Value } from './types.d.ts'
 */

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const precise = new Intl.NumberFormat('en', { maximumSignificantDigits: 5 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 })
const small = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/**
 * A measured number: five significant digits, an exponent only where digits would not help.
 * @param {number} value
 */
export function formatNumber(value) {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3).replace('e+', 'e')
  return (size >= 10_000 ? grouped : precise).format(value).replace('-', '−')
}

/** @param {Value} value */
export function formatValue(value) {
  if (typeof value === 'number') return formatNumber(value)
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : value
}

/**
 * A count: exact up to a million, then shortened.
 * @param {number} count
 */
export function formatCount(count) {
  return count < 1_000_000 ? grouped.format(count) : compact.format(count)
}

/**
 * A count in full, for a title beside the shortened one.
 * @param {number} count
 */
export function formatExact(count) {
  return grouped.format(count)
}

/** @param {number} perSecond */
export function formatRate(perSecond) {
  return perSecond >= 100 ? formatCount(Math.round(perSecond)) : small.format(perSecond)
}

/**
 * A span of time in its two largest parts: `2 d 4 h`, `3 min 20 s`, `450 ms`.
 * @param {number} ms
 */
export function formatDuration(ms) {
  if (ms < secondMs) return `${Math.round(ms)} ms`
  /** @type {readonly (readonly [string, number])[]} */
  const parts = [
    ['d', dayMs],
    ['h', hourMs],
    ['min', minuteMs],
    ['s', secondMs],
  ]
  const first = parts.findIndex(([, length]) => ms >= length)
  const [name, length] = /** @type {readonly [string, number]} */ (parts[first])
  const whole = Math.floor(ms / length)
  const next = parts[first + 1]
  const rest = next === undefined || whole >= 10 ? 0 : Math.floor((ms - whole * length) / next[1])
  return rest === 0 || next === undefined ? `${whole} ${name}` : `${whole} ${name} ${rest} ${next[0]}`
}

/**
 * How long ago, in its largest part: `now`, `12 s ago`, `3 h ago`.
 * @param {number} ms
 */
export function formatAge(ms) {
  if (ms < secondMs) return 'now'
  return `${formatDuration(ms).split(' ').slice(0, 2).join(' ')} ago`
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** @param {number} part */
const two = part => String(part).padStart(2, '0')

/**
 * `14:05`
 * @param {number} ms
 */
export function formatMinute(ms) {
  const date = new Date(ms)
  return `${two(date.getHours())}:${two(date.getMinutes())}`
}

/**
 * `14:05:09`
 * @param {number} ms
 */
export const formatTime = ms => `${formatMinute(ms)}:${two(new Date(ms).getSeconds())}`

/**
 * `7 Nov`
 * @param {number} ms
 */
export function formatDay(ms) {
  const date = new Date(ms)
  return `${date.getDate()} ${months[date.getMonth()]}`
}

/**
 * `Nov 2026`
 * @param {number} ms
 */
export function formatMonth(ms) {
  const date = new Date(ms)
  return `${months[date.getMonth()]} ${date.getFullYear()}`
}

/**
 * `7 Nov 14:05`
 * @param {number} ms
 */
export const formatDayTime = ms => `${formatDay(ms)} ${formatMinute(ms)}`

/**
 * `7 Nov 2026 14:05:09`
 * @param {number} ms
 */
export const formatFullTime = ms => `${formatDay(ms)} ${new Date(ms).getFullYear()} ${formatTime(ms)}`

/**
 * The browser's zone: its name and what it is ahead of UTC now.
 * @param {Date} now
 */
export function zoneText(now) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
  const minutes = -now.getTimezoneOffset()
  if (minutes === 0) return zone === 'UTC' ? 'UTC' : `${zone} (UTC)`
  const sign = minutes < 0 ? '−' : '+'
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return `${zone} (UTC${sign}${hours}${rest === 0 ? '' : `:${String(rest).padStart(2, '0')}`})`
}
