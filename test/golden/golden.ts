/** The golden files of one vector: `<name>.content.bin` (inflated), `<name>.body.bin` (as sent) and `<name>.golden.json`. */
import { fileURLToPath } from 'node:url'
import type { Batch } from '@tributary/shared/batch/batch'
import type { Value } from '@tributary/shared/reading'

export const goldenFiles = {
  content: (name: string) => fileURLToPath(new URL(`${name}.content.bin`, import.meta.url)),
  body: (name: string) => fileURLToPath(new URL(`${name}.body.bin`, import.meta.url)),
  json: (name: string) => fileURLToPath(new URL(`${name}.golden.json`, import.meta.url)),
}

/** A batch as JSON can hold it: numbers of value columns as the hexadecimal digits of their 64 bits. */
export function toJson({ header, columns }: Batch): unknown {
  return {
    header,
    columns: columns.map(({ series, tsUs, values, quality }) => ({
      series,
      tsUs: [...tsUs],
      values: values instanceof Float64Array ? bitsOf(values) : values.map(valueToJson),
      quality: quality && [...quality],
    })),
  }
}

function valueToJson(value: Value): unknown {
  return typeof value === 'number' ? bitsOf(Float64Array.of(value))[0] : value
}

function bitsOf(values: Float64Array): { bits: string }[] {
  const bits = new BigUint64Array(values.buffer, values.byteOffset, values.length)
  return Array.from(bits, word => ({ bits: word.toString(16).padStart(16, '0') }))
}
