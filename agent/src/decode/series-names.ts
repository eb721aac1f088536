/**
 * One `SeriesName` object a series, so that the stages behind may compare series by identity and no name is checked twice.
 *
 * Bounded: at `maxSeries` names the table starts afresh; objects handed out stay valid.
 */
import { limits, type SeriesName } from '@tributary/shared/reading'
import type { DecodeFailure } from './format.ts'

/** Series names held, over all devices. */
const maxSeries = 50_000

export class SeriesNames {
  readonly #devices = new Map<string, Map<string, SeriesName[]>>()
  #count = 0

  /** The series' one object, or why its names cannot be used. */
  name(device: string, metric: string, unit: string): SeriesName | DecodeFailure {
    const known = this.#devices.get(device)?.get(metric)
    if (known !== undefined) {
      for (const series of known) if (series.unit === unit) return series
    }
    return this.#add(device, metric, unit)
  }

  #add(device: string, metric: string, unit: string): SeriesName | DecodeFailure {
    const wrong = nameProblem('device', device) ?? nameProblem('metric', metric) ?? unitProblem(unit)
    if (wrong !== null) return wrong
    if (this.#count >= maxSeries) {
      this.#devices.clear()
      this.#count = 0
    }
    this.#count++
    const metrics = getOrInsert(this.#devices, device, () => new Map<string, SeriesName[]>())
    const series: SeriesName = { device, metric, unit }
    getOrInsert(metrics, metric, (): SeriesName[] => []).push(series)
    return series
  }
}

function nameProblem(what: string, name: string): DecodeFailure | null {
  if (name === '') return { reason: `empty ${what} name` }
  if (Buffer.byteLength(name) > limits.nameBytes)
    return { reason: `${what} name longer than ${limits.nameBytes} bytes` }
  return textProblem(`${what} name`, name)
}

function unitProblem(unit: string): DecodeFailure | null {
  if (Buffer.byteLength(unit) > limits.unitBytes) return { reason: `unit longer than ${limits.unitBytes} bytes` }
  return textProblem('unit', unit)
}

/** Control characters (C0, DEL, C1) and lone surrogates have no place in a name. */
function textProblem(what: string, text: string): DecodeFailure | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) return { reason: `control character in ${what}` }
  return text.isWellFormed() ? null : { reason: `${what} is not well-formed Unicode` }
}

function getOrInsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
