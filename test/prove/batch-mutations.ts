/**
 * Damaged batches for the proof `codec` and its short form in the unit tests, reproducible by seed.
 *
 * Two targets: the body as sent, which the CRC guards; and the content, whole or one section with true lengths around it, wrapped
 * again with a correct CRC, so that the parser behind it meets whatever an attacker with a valid key could send.
 */
import { readFileSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import type { Batch } from '@tributary/shared/batch/batch'
import { ByteReader } from '@tributary/shared/batch/byte-reader'
import { ByteWriter } from '@tributary/shared/batch/byte-writer'
import { decodeContent, encodeContent, peekBatch } from '@tributary/shared/batch/codec'
import { type Unwrapped, unwrap, wrap } from '@tributary/shared/batch/frame'
import { isTributaryError } from '@tributary/shared/errors'
import { batchLimits } from '@tributary/shared/protocol'
import { limits, Quality } from '@tributary/shared/reading'
import { goldenFiles, layout1Names } from '../golden/golden.ts'
import { vectors } from '../golden/vectors.ts'

export type Random = () => number

/** mulberry32: numbers in [0, 1). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Mutant {
  readonly body: Uint8Array
  /** `body`: changed as sent, must be refused. `content`: changed and wrapped again, may decode to something else. */
  readonly target: 'body' | 'content'
}

/** The golden vectors in both layouts. */
const originals: readonly Unwrapped[] = [
  ...Object.values(vectors).map(batch => ({ layout: 2 as const, content: encodeContent(batch).slice() })),
  ...layout1Names.map(name => ({
    layout: 1 as const,
    content: new Uint8Array(readFileSync(goldenFiles.content(name))),
  })),
]
const contents = originals.map(({ content }) => content)
const bodies = originals.map(({ content, layout }) => wrap(content, layout))
/** The contents by section, so that a section can change while the lengths around it stay true. */
const split = originals.map(({ layout, content }) => {
  const reader = new ByteReader(content)
  const sections: Uint8Array[] = []
  while (reader.remaining > 0) {
    reader.u8()
    sections.push(reader.take(reader.uvarint()))
  }
  return { layout, sections }
})
const telling = [0, 1, 2, 3, 4, 0x0f, 0x3f, 0x7f, 0x80, 0xf1, 0xf2, 0xfe, 0xff]

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!
}

/** One damaged batch; a mutation that happens to give an undamaged one is tried again. */
export function mutate(random: Random): Mutant {
  const way = random()
  if (way < 0.5) return { body: edited(pick(random, bodies), random, bodies), target: 'body' }
  if (way < 0.65) {
    const { layout, content } = pick(random, originals)
    return { body: wrap(edited(content, random, contents), layout), target: 'content' }
  }
  const { layout, sections } = pick(random, split)
  const which = Math.floor(random() * sections.length)
  const others = split.flatMap(parts => parts.sections[which] ?? [])
  const parts = sections.map((section, i) => (i === which ? edited(section, random, others) : section))
  return { body: wrap(join(parts), layout), target: 'content' }
}

/** One to eight edits, until the result is none of the `others`, of which `original` is one. */
function edited(original: Uint8Array, random: Random, others: readonly Uint8Array[]): Uint8Array {
  let bytes = original
  do {
    for (let edits = 1 + Math.floor(random() ** 3 * 8); edits > 0; edits--) bytes = edit(bytes, random, others)
  } while (others.some(other => Buffer.compare(bytes, other) === 0))
  return bytes
}

function edit(bytes: Uint8Array, random: Random, others: readonly Uint8Array[]): Uint8Array {
  if (bytes.length === 0) return numberOfAnySize(random)
  const at = Math.floor(random() * bytes.length)
  const copy = bytes.slice()
  switch (Math.floor(random() * 8)) {
    case 0:
    case 1:
      copy[at]! ^= 1 << Math.floor(random() * 8)
      return copy
    case 2:
      copy[at] = pick(random, telling)
      return copy
    case 3:
      return bytes.slice(0, at)
    case 4:
      return concat(bytes.subarray(0, at), bytes.subarray(at + 1 + Math.floor(random() * 8)))
    case 5:
      return concat(bytes.subarray(0, at), numberOfAnySize(random), bytes.subarray(at))
    case 6:
      return concat(bytes.subarray(0, at), numberOfAnySize(random), bytes.subarray(at + 1))
    default: {
      const other = pick(random, others)
      return concat(bytes.subarray(0, at), other.subarray(Math.floor(random() * other.length)))
    }
  }
}

/** An LEB128 number of 1 to 10 bytes: absurd counts, lengths and values. */
function numberOfAnySize(random: Random): Uint8Array {
  const length = 1 + Math.floor(random() * 10)
  return Uint8Array.from({ length }, (_, i) => Math.floor(random() * 128) | (i < length - 1 ? 0x80 : 0))
}

function join(sections: readonly Uint8Array[]): Uint8Array {
  const out = new ByteWriter()
  sections.forEach((section, i) => {
    out.u8(i + 1)
    out.uvarint(section.length)
    out.raw(section)
  })
  return out.bytes()
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

export type Outcome =
  | { readonly kind: 'refused' }
  | { readonly kind: 'decoded'; readonly batch: Batch }
  | { readonly kind: 'broken'; readonly error: unknown }

/** Decode a mutant; without `checkCrc` as a decoder would that trusted zstd alone. */
export function tryDecode(body: Uint8Array, checkCrc: boolean): Outcome {
  try {
    return { kind: 'decoded', batch: decodeContent(unwrap(body, batchLimits, checkCrc)) }
  } catch (error) {
    const expected =
      isTributaryError(error, 'malformed') ||
      isTributaryError(error, 'too-large') ||
      isTributaryError(error, 'unsupported-version')
    return expected ? { kind: 'refused' } : { kind: 'broken', error }
  }
}

/** What a decoded batch breaks of what codec.ts promises, or null. */
export function brokenPromise({ header, columns, aggregates }: Batch): string | null {
  if (!(header.epoch >= 1 && header.seq >= 1)) return 'identity out of range'
  for (const { series, tsUs, values, quality } of columns) {
    if (tsUs.length === 0 || values.length !== tsUs.length) return 'columns of unequal length'
    if (quality !== null && quality.length !== tsUs.length) return 'a quality column of another length'
    if (quality?.some(q => q > Quality.bad)) return 'an unknown quality'
    if (!tsUs.every(Number.isSafeInteger)) return 'a time that is no safe integer'
    if (Buffer.byteLength(series.device) > limits.nameBytes || series.device === '')
      return 'a device name out of bounds'
    if (values.some(value => typeof value === 'string' && Buffer.byteLength(value) > limits.stringBytes))
      return 'a long string'
  }
  for (const { sizeUs, hopUs, startUs, revision, data } of aggregates) {
    if (startUs.length === 0 || revision.length !== startUs.length || data.length !== startUs.length)
      return 'columns of aggregates of unequal length'
    if (!(hopUs >= 1 && hopUs <= sizeUs)) return 'windows of no size'
    if (!startUs.every(Number.isSafeInteger)) return 'a start that is no safe integer'
    if (data.some(bytes => bytes.length > batchLimits.aggregateBytes)) return 'a long aggregate'
  }
  return null
}

/**
 * Bytes that one decode of this body allocates: the least of three measurements, because the compiler and other neighbours on the
 * heap only add to it. A collection in between makes one too small, never too large.
 */
export function allocatedBytes(body: Uint8Array, checkCrc = true): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 3; i++) {
    const before = heapAndBuffers()
    tryDecode(body, checkCrc)
    least = Math.min(least, heapAndBuffers() - before)
  }
  return least
}

function heapAndBuffers(): number {
  const heap = getHeapStatistics()
  return heap.used_heap_size + heap.external_memory
}

/** The bound on what one decode of this body allocates, stated in codec.ts. */
export function allocationBound(body: Uint8Array): number {
  const fixed = 131_072
  try {
    const { header, series, readings, aggregateSeries, aggregates } = peekBatch(body)
    const inflated = unwrap(body, batchLimits).content.length
    const columns = 160 * readings + 1024 * series + 1024 * aggregates + 2048 * aggregateSeries
    return 4 * inflated + columns + 256 * header.losses.length + fixed
  } catch (error) {
    if (!isTributaryError(error)) throw error
    return 4 * batchLimits.inflatedBytes + fixed
  }
}
