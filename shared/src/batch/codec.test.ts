import { expect, test } from 'vitest'
import type { Batch } from './batch.ts'
import { decodeBatch, encodeBatch } from './codec.ts'

const header: Batch['header'] = {
  agentId: 'ag-abcdefghij2345klmnop',
  epoch: 123_456_789_012_345,
  seq: 17,
  bootId: '3f2c1a00-1234-4abc-8def-0123456789ab',
  monotonicUs: 86_400_000_123,
  wallUs: 1_763_800_000_123_456,
  counters: { accepted: 1_000_000, stored: 999_997, suppressed: 0, deadLettered: 3, evicted: 0, maybeDuplicate: 1 },
  losses: [{ epoch: 5, fromSeq: 3, toSeq: 9, readings: 700, exact: false, reason: 'evicted' }],
}

test('a batch of every kind of column comes back equal', () => {
  const batch: Batch = {
    header,
    columns: [
      {
        series: { device: 'press-1', metric: 'temperature', unit: 'Cel' },
        tsUs: Float64Array.of(1000, 2000, 3001),
        values: Float64Array.of(20.5, 20.25, -0),
        quality: Uint8Array.of(0, 2, 1),
      },
      {
        series: { device: 'door-1', metric: 'open', unit: '' },
        tsUs: Float64Array.of(1000, 2000, 3001),
        values: [true, false, true],
        quality: null,
      },
      {
        series: { device: 'door-1', metric: 'state', unit: '' },
        tsUs: Float64Array.of(7),
        values: ['geschlossen – 閉'],
        quality: null,
      },
      {
        series: { device: 'odd', metric: 'mixture', unit: '' },
        tsUs: Float64Array.of(9, 8, 8),
        values: ['', 1.5, false],
        quality: null,
      },
    ],
  }
  expect(decodeBatch(encodeBatch(batch))).toEqual(batch)
})
