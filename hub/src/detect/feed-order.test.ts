import type { SeriesColumns } from '@tributary/shared/batch/batch'
import { Quality, type Value } from '@tributary/shared/reading'
import { expect, test } from 'vitest'
import { feedOrder } from './feed-order.ts'

function column(tsUs: number[], values: readonly Value[] | Float64Array, quality?: number[]): SeriesColumns {
  return {
    series: { device: 'd', metric: 'm', unit: '' },
    tsUs: Float64Array.from(tsUs),
    values,
    quality: quality ? Uint8Array.from(quality) : null,
  }
}
const none = new Map<number, unknown>()

test('readings come by event time, equal times in order of arrival', () => {
  const mixed = column([30, 10, 20, 10, 30], Float64Array.of(1, 2, 3, 4, 5))
  expect([...feedOrder(mixed, 0, none)]).toEqual([1, 3, 2, 0, 4])
})

test('only good and uncertain finite numbers are taken', () => {
  const values = [1, true, 'on', Number.NaN, Number.POSITIVE_INFINITY, 6, 7, 8]
  const quality = [0, 0, 0, 0, 0, Quality.good, Quality.uncertain, Quality.bad]
  expect([...feedOrder(column([1, 2, 3, 4, 5, 6, 7, 8], values, quality), 0, none)]).toEqual([0, 5, 6])
})

test('what ingest rejected is left out, by its index in the batch', () => {
  const rejected = new Map([
    [11, 'future'],
    [3, 'future'],
  ])
  expect([...feedOrder(column([1, 2, 3, 4], Float64Array.of(1, 2, 3, 4)), 10, rejected)]).toEqual([0, 2, 3])
})
