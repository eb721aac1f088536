/**
 * What a reduction remembers of a series, and its bytes: after a restart the same readings meet the same decisions, bit for bit.
 *
 *   u8       version: 1
 *   uvarint  readings seen
 *   u8       value last kept: 0 none (nothing follows), 1 number, 2 false, 3 true, 4 string
 *   svarint  its time, µs
 *   u8       its quality
 *   number:  f64;  string: uvarint length, UTF-8
 */
import { ByteReader, malformed } from '../batch/byte-reader.ts'
import { ByteWriter } from '../batch/byte-writer.ts'
import { limits, Quality, type Value } from '../reading.ts'

export interface KeptReading {
  readonly tsUs: number
  readonly value: Value
  readonly quality: Quality
}

export interface ReduceState {
  /** Readings decided on, of `every-nth`: modulo n. */
  seen: number
  /** The newest reading kept. */
  kept: KeptReading | null
}

export function freshState(): ReduceState {
  return { seen: 0, kept: null }
}

const version = 1
const subject = 'stored reduction state'
const tags = { none: 0, number: 1, false: 2, true: 3, string: 4 } as const

export function encodeState({ seen, kept }: ReduceState): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(32)
  out.u8(version)
  out.uvarint(seen)
  out.u8(kept === null ? tags.none : tagOf(kept.value))
  if (kept === null) return out.bytes().slice()
  out.svarint(kept.tsUs)
  out.u8(kept.quality)
  if (typeof kept.value === 'number') out.f64(kept.value)
  if (typeof kept.value === 'string') {
    const text = new TextEncoder().encode(kept.value)
    out.uvarint(text.length)
    out.raw(text)
  }
  return out.bytes().slice()
}

/** Throws `malformed` for bytes that no `encodeState` of this version wrote. */
export function decodeState(bytes: Uint8Array): ReduceState {
  const source = new ByteReader(bytes, 0, bytes.length, subject)
  const found = source.u8()
  if (found !== version) throw malformed(`its version is ${found}, this build reads ${version}`, subject)
  const seen = source.uvarint()
  const tag = source.u8()
  const kept = tag === tags.none ? null : readKept(source, tag)
  if (source.remaining > 0) throw malformed(`${source.remaining} bytes follow`, subject)
  return { seen, kept }
}

function readKept(source: ByteReader, tag: number): KeptReading {
  const tsUs = source.svarint()
  const quality = source.count(Quality.bad, 'as a quality') as Quality
  return { tsUs, quality, value: readValue(source, tag) }
}

function readValue(source: ByteReader, tag: number): Value {
  switch (tag) {
    case tags.number:
      return source.f64()
    case tags.false:
      return false
    case tags.true:
      return true
    case tags.string:
      return new TextDecoder().decode(source.take(source.count(limits.stringBytes, 'bytes of text')))
    default:
      throw malformed(`a value of unknown kind ${tag}`, subject)
  }
}

function tagOf(value: Value): number {
  if (typeof value === 'number') return tags.number
  if (typeof value === 'string') return tags.string
  return value ? tags.true : tags.false
}
