/**
 * Labels of the time axis, in the browser's zone, 24 hours: the finest part that differs from tick to tick, with the day below where it
 * changes.
 */

import { formatDay, formatMinute, formatMonth, formatTime } from '../format.js'

const dayMs = 86_400_000

/**
 * @param {readonly number[]} ticks ms
 * @param {number} stepMs between two ticks
 */
export function timeLabels(ticks, stepMs) {
  if (stepMs >= 28 * dayMs) return ticks.map(formatMonth)
  if (stepMs >= dayMs) return ticks.map(formatDay)
  const time = stepMs < 60_000 ? formatTime : formatMinute
  let dayBefore = ''
  return ticks.map(tick => {
    const day = formatDay(tick)
    const label = day === dayBefore ? time(tick) : `${time(tick)}\n${day}`
    dayBefore = day
    return label
  })
}
