import { isTributaryError } from '@tributary/shared/errors'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { DetectorSpec } from './detector-spec.ts'
import { feed } from './feed.ts'
import { lite } from './lite.ts'
import { readRecord, recordBytes, writeRecord } from './record.ts'
import { allocate, createShard, frontierUs } from './shard.ts'

const secondUs = 1e6
const valueAt = (i: number) => 10 * Math.sin(i / 30) + ((i * 7919) % 101) / 50 + (i % 977 === 0 ? 40 : 0)

test('a detector restored at a random reading gives the next 10,000 scores bit for bit', () => {
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 40_000 })), at => {
      const running = createShard(lite, 1)
      const kept = allocate(running)
      for (let i = 0; i < at; i++) feed(running, kept, i * secondUs, valueAt(i))
      const restored = createShard(lite, 8)
      allocate(restored)
      const slot = allocate(restored)
      expect(readRecord(restored, slot, writeRecord(running, kept))).toBe(true)
      for (let i = at; i < at + 10_000; i++) {
        const expected = { ...feed(running, kept, i * secondUs, valueAt(i)) }
        expect(Object.values(feed(restored, slot, i * secondUs, valueAt(i)))).toEqual(Object.values(expected))
      }
      expect(writeRecord(restored, slot)).toEqual(writeRecord(running, kept))
    }),
    { numRuns: 6 },
  )
})

test('a record is found again after the histogram weight was renormalised', () => {
  const shard = createShard(lite, 1)
  const slot = allocate(shard)
  for (let i = 0; i < 170_000; i++) feed(shard, slot, i * secondUs, valueAt(i))
  const copy = createShard(lite, 1)
  const other = allocate(copy)
  readRecord(copy, other, writeRecord(shard, slot))
  for (let i = 170_000; i < 171_000; i++) {
    expect(feed(copy, other, i * secondUs, valueAt(i)).surprise).toBe(
      feed(shard, slot, i * secondUs, valueAt(i)).surprise,
    )
  }
})

test('a record names its size, its frontier and its detector', () => {
  const shard = createShard(lite, 1)
  const slot = allocate(shard)
  feed(shard, slot, 1_700_000_000_000_001, 5)
  const record = writeRecord(shard, slot)
  expect(record.length).toBe(recordBytes(shard.layout))
  expect(record.length).toBeLessThanOrEqual(2048)
  expect(new DataView(record.buffer).getFloat64(24, true)).toBe(1_700_000_000_000_001)
  expect(new TextDecoder().decode(record.subarray(0, 4))).toBe('TDET')
  expect(frontierUs(shard, slot)).toBe(1_700_000_000_000_001)
})

test('a record of another detector is not continued', () => {
  const shard = createShard(lite, 1)
  const record = writeRecord(shard, allocate(shard))
  const other: DetectorSpec = { name: 'lite', streams: [...lite.streams, { kind: 'jump', view: 'A' }] }
  const elsewhere = createShard(other, 1)
  const slot = allocate(elsewhere)
  const before = writeRecord(elsewhere, slot)
  expect(readRecord(elsewhere, slot, record)).toBe(false)
  expect(writeRecord(elsewhere, slot)).toEqual(before)
})

test('bytes that are no record are refused as corrupt', () => {
  const shard = createShard(lite, 1)
  const slot = allocate(shard)
  const record = writeRecord(shard, slot)
  for (const bytes of [new Uint8Array(0), record.subarray(0, 31), record.subarray(0, 500), new Uint8Array(2048)]) {
    expect(() => readRecord(shard, slot, bytes)).toThrow(
      expect.toSatisfy((error: unknown) => isTributaryError(error, 'corrupt')),
    )
  }
})
