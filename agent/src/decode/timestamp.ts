/**
 * A device's own time, as it writes it, to whole microseconds since 1970 UTC.
 *
 * Numbers: the unit is read from the magnitude. Below 1e11 seconds (until the year 5138), below 1e14 milliseconds, below 1e17
 * microseconds, else nanoseconds. Texts: ISO 8601 (RFC 3339 §5.6) with date and time; a missing zone is UTC; fractions are kept
 * to the microsecond. Anything else, and any time that is not a safe integer of microseconds, is null.
 */
const iso =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?:[Zz]|([+-])(\d{2}):?(\d{2}))?$/

export function timestampUs(ts: unknown): number | null {
  const us = typeof ts === 'number' ? numberUs(ts) : typeof ts === 'string' ? isoUs(ts) : null
  return us !== null && Number.isSafeInteger(us) ? us : null
}

function numberUs(ts: number): number {
  const size = Math.abs(ts)
  if (size < 1e11) return Math.round(ts * 1e6)
  if (size < 1e14) return Math.round(ts * 1e3)
  return size < 1e17 ? Math.round(ts) : Math.round(ts / 1e3)
}

function isoUs(ts: string): number | null {
  const match = iso.exec(ts)
  if (match === null) return null
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(part => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  // A leap second (60) falls on the first second of the next minute.
  if (hour > 23 || minute > 59 || second > 60) return null
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null
  const zoneMinutes = Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0)
  if (Number(match[10] ?? 0) > 59 || zoneMinutes > 18 * 60) return null
  const offsetS = (match[8] === '-' ? -60 : 60) * zoneMinutes
  const wholeS = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offsetS
  return wholeS * 1e6 + Math.floor(Number(`0.${match[7] ?? 0}`) * 1e6 + 1e-4)
}
