/** Aggregates of made-up readings, for tests of the batch. */
import { addReading } from '../window/aggregate.ts'
import { encodeAggregate } from '../window/aggregate-codec.ts'
import { allocate, createAggregateStore } from '../window/aggregate-store.ts'

export interface TimedValue {
  readonly tsUs: number
  readonly value: number
}

/** The bytes of the aggregate of `readings`, which arrived in this order; with a sketch of `buckets` unless that is 0. */
export function aggregateBytes(readings: readonly TimedValue[], buckets = 0): Uint8Array<ArrayBuffer> {
  const store = createAggregateStore(buckets)
  const slot = allocate(store)
  readings.forEach(({ tsUs, value }, order) => {
    addReading(store, slot, tsUs, order, value)
  })
  return encodeAggregate(store, slot)
}
