/**
 * One series' state as a fixed binary record, so that a detector restored from it gives the same bits as one never stopped.
 *
 *   offset size
 *        0    4  magic 'TDET'
 *        4    4  schema, uint32: 1
 *        8    4  specHash of the detector, uint32
 *       12    4  doubles that follow the header, uint32
 *       16    8  readings fed, float64
 *       24    8  frontier, µs, float64 (−∞ before the first reading)
 *       32       the slot's doubles, then its histograms (float32), as they stand in memory
 *
 * Numbers are little-endian, as on every platform the hub runs on. The histogram's running weight is among the doubles and is
 * stored as it is: normalising it here would make the scores depend on when a record was written.
 */
import { TributaryError } from '../errors.ts'
import { field, type Layout } from './layout.ts'
import type { Shard } from './shard.ts'

const magic = 0x54454454
const schema = 1
const headerBytes = 32

/** Length of a record of this layout. */
export function recordBytes(layout: Layout): number {
  return headerBytes + layout.scalarStride * 8 + layout.histogramStride * 4
}

/** Copy a slot out. */
export function writeRecord(shard: Shard, slot: number): Uint8Array {
  const { layout } = shard
  const record = new Uint8Array(recordBytes(layout))
  const header = new DataView(record.buffer)
  const [scalars, histograms] = slotBytes(shard, slot)
  header.setUint32(0, magic, true)
  header.setUint32(4, schema, true)
  header.setUint32(8, layout.hash, true)
  header.setUint32(12, layout.scalarStride, true)
  header.setFloat64(16, shard.scalars[slot * layout.scalarStride + field.n]!, true)
  header.setFloat64(24, shard.scalars[slot * layout.scalarStride + field.frontierUs]!, true)
  record.set(scalars, headerBytes)
  record.set(histograms, headerBytes + scalars.length)
  return record
}

/**
 * Copy a record into an allocated slot. False, with the slot untouched, when another detector or version wrote it: the series
 * starts anew. Throws `corrupt` for bytes that are no such record.
 */
export function readRecord(shard: Shard, slot: number, record: Uint8Array): boolean {
  const header = new DataView(record.buffer, record.byteOffset, record.byteLength)
  if (record.length < headerBytes || header.getUint32(0, true) !== magic) throw corrupt('no detector record')
  if (header.getUint32(4, true) !== schema || header.getUint32(8, true) !== shard.layout.hash) return false
  const expected = recordBytes(shard.layout)
  if (record.length !== expected || header.getUint32(12, true) !== shard.layout.scalarStride) {
    throw corrupt(`${record.length} bytes where ${expected} belong`)
  }
  const [scalars, histograms] = slotBytes(shard, slot)
  scalars.set(record.subarray(headerBytes, headerBytes + scalars.length))
  histograms.set(record.subarray(headerBytes + scalars.length))
  return true
}

function slotBytes(shard: Shard, slot: number): [Uint8Array, Uint8Array] {
  const { layout, scalars, histograms } = shard
  const scalarBytes = layout.scalarStride * 8
  const histogramBytes = layout.histogramStride * 4
  return [
    new Uint8Array(scalars.buffer, scalars.byteOffset + slot * scalarBytes, scalarBytes),
    new Uint8Array(histograms.buffer, histograms.byteOffset + slot * histogramBytes, histogramBytes),
  ]
}

function corrupt(what: string): TributaryError {
  return new TributaryError('corrupt', `stored detector state: ${what}`, {
    hint: 'the series starts learning anew; nothing needs to be done',
  })
}
