/**
 * An anomaly in words: what kind of change it was, how surprising, how often something like it was seen before, and what to make of
 * it. The bounds are those of the hub's alert rule (shared/src/detect/alert.ts).
 *
 * @import { Anomaly } from './types.d.ts'
 */
import { formatDuration, formatNumber } from './format.js'
import { withUnit } from './units.js'

export const opensAt = 1.5
export const criticalAt = 2.5

/** Surprise at which the meter is full. */
export const meterTop = 5

/**
 * Residual streams of the detector `lite`, by name: what it is called when one stands out, and what the value was compared with.
 * @type {ReadonlyMap<string, { title: string, meaning: string }>}
 */
const streams = new Map([
  [
    'R e(1/100)',
    {
      title: 'Far from its recent level',
      meaning: 'Expected is the average of about the last 100 readings.',
    },
  ],
  [
    'G e(40/400)',
    {
      title: 'Drifted to another level',
      meaning: 'The average of about 40 readings left that of about 400, which is what was expected.',
    },
  ],
  ['G |Δ|', { title: 'Sudden jump', meaning: 'Expected is the reading just before.' }],
  [
    'A e(10/400)',
    {
      title: 'Unusual for its spread',
      meaning: 'The average of about 10 readings left the usual band around that of about 400.',
    },
  ],
])

const unknownStream = {
  title: 'Unusual behaviour',
  meaning: 'Expected is what the detector compared the reading with.',
}

/** @param {Anomaly} anomaly */
export function explain(anomaly) {
  const stream = streams.get(anomaly.stream) ?? unknownStream
  return {
    title: stream.title,
    seen: measured(anomaly.value, anomaly.unit),
    expected: measured(anomaly.expected, anomaly.unit),
    meaning: stream.meaning,
    difference: difference(anomaly),
    seenBefore: seenBeforeText(anomaly.seenBefore),
    notes: notesOf(anomaly),
  }
}

/** @param {Anomaly} anomaly */
export const titleOf = anomaly => (streams.get(anomaly.stream) ?? unknownStream).title

/**
 * @param {number | null} value
 * @param {string} unit
 */
function measured(value, unit) {
  return value === null ? 'not known' : withUnit(formatNumber(value), unit)
}

/** @param {Anomaly} anomaly */
function difference({ value, expected, unit }) {
  if (value === null || expected === null) return null
  const by = value - expected
  return `${by > 0 ? '+' : ''}${withUnit(formatNumber(by), unit)}`
}

/**
 * The count is decayed (a half-life of 8,000 readings), hence fractional.
 * @param {number} count
 */
function seenBeforeText(count) {
  if (count < 0.5) return 'Never before'
  const about = Math.round(count)
  return about === 1 ? 'About once before' : `About ${about} times before`
}

/** @param {Anomaly} anomaly */
function notesOf({ learning, historic }) {
  const notes = []
  if (learning) notes.push('The series was still being learnt (its first 200 readings and 24 hours): trust this less.')
  if (historic) notes.push('Found afterwards, in readings that arrived late.')
  return notes
}

/**
 * Open for, or lasted.
 * @param {Anomaly} anomaly
 * @param {number} nowMs
 */
export function durationOf({ openedAt, closedAt }, nowMs) {
  const fromMs = Date.parse(openedAt)
  return formatDuration(Math.max(0, (closedAt === null ? nowMs : Date.parse(closedAt)) - fromMs))
}
