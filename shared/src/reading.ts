/**
 * The reading: one measured value of one series at one time.
 *
 * Times are whole microseconds since 1970-01-01T00:00:00Z in a plain number: every instant from 1684 to 2255 is a safe integer.
 * Identity is never (series, time): two readings of one series with equal times are both kept, in the order of arrival.
 */

/** A measured value. Numbers travel bit for bit: NaN payloads, −0 and ±Infinity included (the hub's verdict is another matter). */
export type Value = number | boolean | string

/** How far a reading is to be trusted, after OPC UA's three status severities. Stored as these small integers everywhere. */
export const Quality = { good: 0, uncertain: 1, bad: 2 } as const
export type Quality = (typeof Quality)[keyof typeof Quality]
export const qualityNames = ['good', 'uncertain', 'bad'] as const

/** What an agent calls a series: its own id is added by the hub, (agent, device, metric) together name it. */
export interface SeriesName {
  /** The sensor or machine that the agent hears; 1 to `limits.nameBytes` bytes of UTF-8. */
  readonly device: string
  /** One measured quantity of the device; 1 to `limits.nameBytes` bytes of UTF-8. */
  readonly metric: string
  /** UCUM or the device's own word, as first seen; empty when unknown. */
  readonly unit: string
}

export interface Reading {
  readonly series: SeriesName
  readonly tsUs: number
  readonly value: Value
  readonly quality: Quality
}

/** Bounds of one reading, the same at sensor, wire and table. */
export const limits = {
  /** Longest device or metric name, bytes of UTF-8. */
  nameBytes: 256,
  /** Longest unit, bytes of UTF-8. */
  unitBytes: 32,
  /** Longest string value, bytes of UTF-8. */
  stringBytes: 4096,
} as const
