/** For tests of folding: what the rows of a buffer hold, and what windows are to be made of it. */
import { cpSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Reading, Value } from '@tributary/shared/reading'
import { addReading, finish, mergeInto } from '@tributary/shared/window/aggregate'
import { decodeAggregate } from '@tributary/shared/window/aggregate-codec'
import { allocate, createAggregateStore } from '@tributary/shared/window/aggregate-store'
import type { ClosedPart } from '../aggregate/open-parts.ts'
import type { Policy } from '../aggregate/policy.ts'
import { bufferConfig } from './buffer-config.ts'
import { message } from './buffer-suite.ts'
import { commitGroup } from './commit.ts'
import { PendingGroup } from './group.ts'
import { openStore } from './open-store.ts'
import { Mark } from './row-codec.ts'
import { rowAt } from './sealing.ts'
import { closeReader, type StoreState } from './state.ts'

const folders: string[] = []
const states: StoreState[] = []

/** Close what this file opened, and remove its folders; after each test. */
export async function forgetFolders(): Promise<void> {
  forgetStores()
  await Promise.all(folders.splice(0).map(folder => rm(folder, { recursive: true, force: true })))
}

export function forgetStores(): void {
  for (const state of states.splice(0)) shut(state)
}

const window = { sizeUs: 100, hopUs: 100, latenessUs: 30, idleMs: 3600_000, quantiles: false }
export const aggregate: Policy = { device: '*', metric: '*', mode: 'aggregate', class: 'raw', window, reduce: null }

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-fold-'))
  folders.push(folder)
  return folder
}

export function open(folder: string, policies: readonly Policy[], more: object = {}): StoreState {
  const config = bufferConfig({
    folder,
    policies,
    maxBytes: 16 << 20,
    fileBytes: 64 * 1024,
    ballastBytes: 0,
    minFreeBytes: 0,
    ...more,
  })
  const state = openStore({ config, epoch: 1 + states.length, sabotage: 'fsync-off', bootId: 'boot' })
  states.push(state)
  return state
}

function shut(state: StoreState): void {
  closeReader(state)
  state.tail.close()
  state.mark.close()
  state.lock.release()
}

export function commit(state: StoreState, readings: readonly Reading[]): void {
  const group = new PendingGroup('boot')
  group.add(message(readings), 0, () => undefined)
  commitGroup(state, group.take().group)
}

/** The clock of this boot began at this time. */
export function trust(state: StoreState, timeUs: number): void {
  const anchor = { bootUs: 0, timeUs, rate: 0 }
  state.times.gain({ placing: anchor, certain: true, latest: anchor, source: 'hub' })
}

/** As after kill -9: what is on the disk, opened by another process. */
export function killed(state: StoreState, policies: readonly Policy[], more: object = {}): StoreState {
  const folder = newFolder()
  cpSync(state.folder, folder, { recursive: true })
  return open(folder, policies, more)
}

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
