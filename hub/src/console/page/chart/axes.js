/**
 * Labels of the time axis, in the browser's zone, 24 hours: the finest part that differs from tick to tick, with the day below where it
 * changes.
 */

const parts = {
  seconds: new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
  minutes: new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' }),
  day: new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' }),
  month: new Intl.DateTimeFormat('en-GB', { month: 'short', year: 'numeric' }),
}

const dayMs = 86_400_000

/**
 * @param {readonly number[]} ticks ms
 * @param {number} stepMs between two ticks
 */
export function timeLabels(ticks, stepMs) {
  if (stepMs >= 28 * dayMs) return ticks.map(tick => parts.month.format(tick))
  if (stepMs >= dayMs) return ticks.map(tick => parts.day.format(tick))
  const time = stepMs < 60_000 ? parts.seconds : parts.minutes
  let dayBefore = ''
  return ticks.map(tick => {
    const day = parts.day.format(tick)
    const label = day === dayBefore ? time.format(tick) : `${time.format(tick)}\n${day}`
    dayBefore = day
    return label
  })
}
