/** For tests of folding: what the rows of a buffer hold, and what windows are to be made of it. */
import type { Reading, Value } from '@tributary/shared/reading'
import { addReading, finish, mergeInto } from '@tributary/shared/window/aggregate'
import { decodeAggregate } from '@tributary/shared/window/aggregate-codec'
import { allocate, createAggregateStore } from '@tributary/shared/window/aggregate-store'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import { Mark } from './row-codec.ts'
import { rowAt } from './sealing.ts'
import type { StoreState } from './state.ts'

export interface Contents {
  readonly sent: Reading[]
  readonly held: Reading[]
  readonly parts: ClosedPart[]
}

/** Everything in the rows. */
export function rowContents(state: StoreState): Contents {
  const found: Contents = { sent: [], held: [], parts: [] }
  for (let row = rowAt(state, 1); row; row = rowAt(state, row.n + 1)) {
    found.parts.push(...(row.aggregates?.parts ?? []))
    const { columns } = row
    for (let index = 0; index < columns.readings; index++) {
      const at = (columns.series[index] as number) * 3
      const [device = '', metric = '', unit = ''] = columns.names.slice(at, at + 3)
      const tag = columns.tags[index] as number
      const value = columns.values[index] as number
      const read = [value, value, value === 1, columns.strings[value]][tag >> 2] as Value
      const mark = columns.marks[index] as number
      const one = {
        series: { device, metric, unit },
        tsUs: columns.tsUs[index] as number,
        value: read,
        quality: (tag & 3) as 0,
      }
      if (mark & Mark.held) found.held.push(one)
      else found.sent.push(one)
    }
  }
  return found
}

const store = createAggregateStore(0)

/** The numbers of each window, by device and start, made of its parts. */
export function windowsOf(parts: readonly Pick<ClosedPart, 'series' | 'startUs' | 'data'>[]): Map<string, unknown> {
  const slots = new Map<string, number>()
  for (const { series, startUs, data } of parts) {
    const key = `${series.device}/${startUs}`
    const slot = slots.get(key) ?? allocate(store)
    slots.set(key, slot)
    mergeInto(store, slot, store, decodeAggregate(store, data))
  }
  return new Map([...slots].sort().map(([key, slot]) => [key, finish(store, slot)]))
}

/** The same, made of readings. */
export function expectedWindows(readings: readonly Reading[], sizeUs: number): Map<string, unknown> {
  const slots = new Map<string, number>()
  for (const [order, { series, tsUs, value }] of readings.entries()) {
    const key = `${series.device}/${Math.floor(tsUs / sizeUs) * sizeUs}`
    const slot = slots.get(key) ?? allocate(store)
    slots.set(key, slot)
    addReading(store, slot, tsUs, order, value as number)
  }
  return new Map([...slots].sort().map(([key, slot]) => [key, finish(store, slot)]))
}
