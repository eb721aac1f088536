/** The golden files of one vector: `<name>.content.bin` (inflated), `<name>.body.bin` (as sent) and `<name>.golden.json`. */
import { fileURLToPath } from 'node:url'
import type { Batch } from '@tributary/shared/batch/batch'
import type { Value } from '@tributary/shared/reading'

export const goldenFiles = {
  content: (name: string) => fileURLToPath(new URL(`${name}.content.bin`, import.meta.url)),
  body: (name: string) => fileURLToPath(new URL(`${name}.body.bin`, import.meta.url)),
  json: (name: string) => fileURLToPath(new URL(`${name}.golden.json`, import.meta.url)),
}

/** Vectors of layout 1, which is read and not written: their files stay as they are. */
export const layout1Names = ['doubles', 'fleet', 'no-readings', 'one-reading', 'text-and-mixture', 'times'].map(
  name => `layout-1/${name}`,
)

/** A batch as JSON can hold it: numbers of value columns as the hexadecimal digits of their 64 bits, aggregates as those of their bytes. */
export function toJson({ header, columns, aggregates }: Batch): unknown {
  return {
    header,
    columns: columns.map(({ series, tsUs, values, quality }) => ({
      series,
      tsUs: [...tsUs],
      values: values instanceof Float64Array ? bitsOf(values) : values.map(valueToJson),
      quality: quality && [...quality],
    })),
    aggregates: aggregates.map(({ series, sizeUs, hopUs, startUs, revision, data }) => ({
      series,
      sizeUs,
      hopUs,
      startUs: [...startUs],
      revision: [...revision],
      data: data.map(bytes => Buffer.from(bytes).toString('hex')),
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
