/**
 * JSON payloads, in three shapes that the address tells apart.
 *
 * - device and metric are known (`sensors/press1/temp`): a scalar (`21.5`, `true`, `"open"`), or
 *   `{"value": …, "ts"?, "unit"?, "quality"?}`; other keys are ignored.
 * - the device is known (`sensors/press1`): `{"temp": 21.5, "door": {"value": "open", "unit"?}, "ts"?, "seq"?, "quality"?}`: every
 *   key but the three reserved ones is a metric.
 * - a line of a serial port: as above with `"device"` allowed inside, or `{"device"?, "metric": …, "value": …, "ts"?, "unit"?}`.
 *
 * `quality` is `good`, `uncertain`, `bad` or 0, 1, 2. `seq` is the device's own counter and only identifies the payload. A `null`
 * is no value. Numbers keep every bit that a double holds; what overflows a double (`1e999`) is refused.
 */
import { isUtf8 } from 'node:buffer'
import { limits, Quality, type Reading, type Value } from '@tributary/shared/reading'
import { type Decoded, type DecodeFailure, type Format, isFailure } from './format.ts'
import type { SeriesNames } from './series-names.ts'
import { timestampUs } from './timestamp.ts'

/** Metrics in one payload. */
const maxMetrics = 1000

type JsonObject = { readonly [key: string]: unknown }

/** What stands beside the values of a payload. */
interface Context {
  readonly tsUs: number
  readonly quality: Quality
  readonly identified: boolean
  readonly timed: boolean
}

export const json: Format = {
  name: 'json',
  decode(address, payload, receivedAtUs, names) {
    const parsed = parse(payload)
    if (parsed === malformed) return { reason: isUtf8(payload) ? 'malformed JSON' : 'not UTF-8' }
    if (address.device !== null && address.metric !== null) {
      return metricPayload(address.device, address.metric, parsed, receivedAtUs, names)
    }
    if (!isObject(parsed)) return { reason: `${kindOf(parsed)} where an object of metrics is expected` }
    if (address.device === null) return { reason: 'no device name' }
    return devicePayload(address.device, parsed, [], receivedAtUs, names)
  },
}

export const jsonLine: Format = {
  name: 'json-line',
  decode(address, payload, receivedAtUs, names) {
    const parsed = parse(payload)
    if (parsed === malformed) return { reason: isUtf8(payload) ? 'malformed JSON' : 'not UTF-8' }
    if (!isObject(parsed)) return { reason: `${kindOf(parsed)} where an object is expected` }
    const device = parsed.device ?? address.device
    if (typeof device !== 'string') return { reason: 'no device name' }
    if (typeof parsed.metric === 'string' && Object.hasOwn(parsed, 'value')) {
      return metricPayload(device, parsed.metric, parsed, receivedAtUs, names)
    }
    return devicePayload(device, parsed, ['device'], receivedAtUs, names)
  },
}

const malformed = Symbol('malformed')

function parse(payload: Buffer): unknown {
  if (!isUtf8(payload)) return malformed
  try {
    return JSON.parse(payload.toString('utf8'))
  } catch {
    // The text of a syntax error quotes the payload, which the dead letter holds anyway.
    return malformed
  }
}

function metricPayload(
  device: string,
  metric: string,
  parsed: unknown,
  receivedAtUs: number,
  names: SeriesNames,
): Decoded | DecodeFailure {
  if (!isObject(parsed)) {
    const value = scalarOf(parsed)
    if (typeof value === 'object') return value
    const series = names.name(device, metric, '')
    if (isFailure(series)) return series
    return { readings: [{ series, tsUs: receivedAtUs, value, quality: Quality.good }], identified: false, timed: false }
  }
  if (!Object.hasOwn(parsed, 'value')) return { reason: 'an object without `value`' }
  const context = contextOf(parsed, receivedAtUs)
  if (isFailure(context)) return context
  const reading = readingOf(device, metric, parsed, context, names)
  if (isFailure(reading)) return reading
  return { readings: [reading], identified: context.identified, timed: context.timed }
}

function devicePayload(
  device: string,
  parsed: JsonObject,
  reserved: readonly string[],
  receivedAtUs: number,
  names: SeriesNames,
): Decoded | DecodeFailure {
  const context = contextOf(parsed, receivedAtUs)
  if (isFailure(context)) return context
  const readings: Reading[] = []
  for (const metric of Object.keys(parsed)) {
    if (metric === 'ts' || metric === 'seq' || metric === 'quality' || reserved.includes(metric)) continue
    if (readings.length === maxMetrics) return { reason: `more than ${maxMetrics} metrics` }
    const given = parsed[metric]
    const reading = readingOf(device, metric, isObject(given) ? given : { value: given }, context, names)
    if (isFailure(reading)) return { reason: `${reading.reason} in metric ${quote(metric)}` }
    readings.push(reading)
  }
  return readings.length === 0
    ? { reason: 'no metric' }
    : { readings, identified: context.identified, timed: context.timed }
}

function readingOf(
  device: string,
  metric: string,
  given: JsonObject,
  context: Context,
  names: SeriesNames,
): Reading | DecodeFailure {
  const value = scalarOf(given.value)
  if (typeof value === 'object') return value
  const unit = given.unit ?? ''
  if (typeof unit !== 'string') return { reason: `${kindOf(unit)} as unit` }
  const series = names.name(device, metric, unit)
  return isFailure(series) ? series : { series, tsUs: context.tsUs, value, quality: context.quality }
}

function contextOf(parsed: JsonObject, receivedAtUs: number): Context | DecodeFailure {
  const ts = parsed.ts ?? null
  const tsUs = ts === null ? receivedAtUs : timestampUs(ts)
  if (tsUs === null) return { reason: '`ts` is neither an ISO 8601 time nor a number in range' }
  const quality = qualityOf(parsed.quality)
  if (quality === null) return { reason: '`quality` is not good, uncertain or bad' }
  return { tsUs, quality, identified: ts !== null || (parsed.seq ?? null) !== null, timed: ts !== null }
}

function qualityOf(given: unknown): Quality | null {
  if (given === undefined) return Quality.good
  if (given === 0 || given === 1 || given === 2) return given
  return typeof given === 'string' && Object.hasOwn(Quality, given) ? Quality[given as keyof typeof Quality] : null
}

function scalarOf(given: unknown): Value | DecodeFailure {
  switch (typeof given) {
    case 'number':
      return Number.isFinite(given) ? given : { reason: 'number out of range' }
    case 'boolean':
      return given
    case 'string':
      if (given.length * 3 > limits.stringBytes && Buffer.byteLength(given) > limits.stringBytes)
        return { reason: `text longer than ${limits.stringBytes} bytes` }
      return given.isWellFormed() ? given : { reason: 'text is not well-formed Unicode' }
    default:
      return { reason: `${kindOf(given)} as value` }
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** A name from a payload, short enough for a reason and without what a terminal would obey. */
function quote(name: string): string {
  return JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}…` : name)
}
