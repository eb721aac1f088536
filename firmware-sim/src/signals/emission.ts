/**
 * What a device says at once: its readings of one moment, with the moment's time and the device's own counter.
 */
/** What the simulated sensors measure. */
export type SensorValue = number | boolean

export interface Measurement {
  readonly metric: string
  readonly unit: string
  readonly value: SensorValue
}

export interface Emission {
  readonly device: string
  /** Microseconds since 1970 UTC, as the device's clock shows it. */
  readonly tsUs: number
  /** Counts the device's emissions from 0. */
  readonly seq: number
  readonly readings: readonly Measurement[]
  /** Present: what is sent in place of a payload; it decodes to nothing. */
  readonly garbage?: Uint8Array
}
