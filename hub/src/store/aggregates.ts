/**
 * Aggregates into their table, in the transaction of the readings: one row a window, merged exactly from the parts that agents send.
 *
 * A part's readings are in no other part of its window, and its revision names it: a part that the row has already is left out, so that the order
 * of arrival does not show, nor how parts are shared out among batches, nor a repeat. The first part of a window is kept as received,
 * and what merges stays exact (shared/src/window); the columns beside the bytes are their numbers, for SQL.
 */
import { type Finished, finish, mergeInto } from '@tributary/shared/window/aggregate'
import { decodeAggregate, encodeAggregate, hasSketch } from '@tributary/shared/window/aggregate-codec'
import { createAggregateStore, defaultMaxBuckets } from '@tributary/shared/window/aggregate-store'
import type { PoolClient } from 'pg'
import type { SeriesKey } from '../database/series-ids.ts'
import type { JudgedBatch } from '../log/effect.ts'

/** Where a window stands within its series. */
export interface WindowPlace {
  readonly startUs: number
  readonly sizeUs: number
  readonly hopUs: number
}

/** One part of a window. */
export interface AggregatePart extends WindowPlace {
  readonly revision: number
  readonly data: Uint8Array
}

export interface GatheredAggregates {
  readonly key: SeriesKey
  readonly aggregates: readonly AggregatePart[]
}

/** What a transaction stores of one series, at least one. */
export interface SeriesAggregateRows {
  readonly seriesId: number
  readonly agentNo: number
  readonly aggregates: readonly AggregatePart[]
}

/** Without what the verdict refused, at least one of each; a series may stand there several times. */
export function gatherAggregates(batches: readonly JudgedBatch[]): GatheredAggregates[] {
  const all: GatheredAggregates[] = []
  for (const { envelope, batch } of batches) {
    let index = batch.columns.reduce((sum, { tsUs }) => sum + tsUs.length, 0)
    for (const { series, sizeUs, hopUs, startUs, revision, data } of batch.aggregates) {
      const aggregates: AggregatePart[] = []
      data.forEach((bytes, i) => {
        if (envelope.rejected.has(index++)) return
        aggregates.push({ startUs: startUs[i]!, sizeUs, hopUs, revision: revision[i]!, data: bytes })
      })
      if (aggregates.length > 0) all.push({ key: { agentNo: envelope.agentNo, ...series }, aggregates })
    }
  }
  return all
}

/** A window of one series: its parts by revision, and what is stored of it. */
interface Window extends WindowPlace {
  readonly seriesId: number
  readonly parts: Map<number, Uint8Array>
}

interface StoredWindow extends WindowPlace {
  readonly seriesId: number
  readonly revisions: readonly number[]
  readonly data: Buffer
}

interface Row extends Omit<StoredWindow, 'data'> {
  readonly data: Uint8Array
}

/**
 * Plan: primary key, one row each, locked in its order. A series comes through one partition of the log, whose transactions come one
 * after another: nobody else inserts a window between the look and the write.
 */
export async function writeAggregates(tx: PoolClient, stored: readonly SeriesAggregateRows[]): Promise<void> {
  const windows = byWindow(stored)
  if (windows.length === 0) return
  const known = new Map((await lockKnown(tx, windows)).map(row => [nameOf(row), row]))
  const rows = windows.map(window => withNewParts(window, known.get(nameOf(window)))).filter(row => row !== null)
  if (rows.length > 0) await upsert(tx, rows)
}

/** In the order of the primary key. */
function byWindow(stored: readonly SeriesAggregateRows[]): Window[] {
  const windows = new Map<string, Window>()
  for (const { seriesId, aggregates } of stored) {
    for (const { revision, data, ...place } of aggregates) {
      const name = nameOf({ seriesId, ...place })
      const window = windows.get(name) ?? { seriesId, ...place, parts: new Map() }
      windows.set(name, window)
      if (!window.parts.has(revision)) window.parts.set(revision, data)
    }
  }
  return [...windows.values()].sort(
    (a, b) => a.seriesId - b.seriesId || a.startUs - b.startUs || a.sizeUs - b.sizeUs || a.hopUs - b.hopUs,
  )
}

function nameOf({ seriesId, startUs, sizeUs, hopUs }: WindowPlace & { readonly seriesId: number }): string {
  return `${seriesId}/${startUs}/${sizeUs}/${hopUs}`
}

async function lockKnown(tx: PoolClient, windows: readonly Window[]): Promise<StoredWindow[]> {
  const { rows } = await tx.query<Omit<StoredWindow, 'revisions'> & { revisions: string[] }>({
    name: 'lock-aggregates',
    text: `select a.series_id as "seriesId", w.start_us as "startUs", a.size_us as "sizeUs", a.hop_us as "hopUs", a.revisions, a.data
           from unnest($1::int[], $2::int8[], $3::int8[], $4::int8[]) as w (series_id, start_us, size_us, hop_us)
           join aggregate a on a.series_id = w.series_id and a.start = 'epoch'::timestamptz + w.start_us * interval '1 microsecond'
                           and a.size_us = w.size_us and a.hop_us = w.hop_us
           order by a.series_id, a.start, a.size_us, a.hop_us
           for update of a`,
    values: placesOf(windows),
  })
  return rows.map(row => ({ ...row, revisions: row.revisions.map(Number) }))
}

/** Null when the row has all of the parts. */
function withNewParts({ parts, ...window }: Window, known: StoredWindow | undefined): Row | null {
  const before = known?.revisions ?? []
  const fresh = [...parts].filter(([revision]) => !before.includes(revision))
  if (fresh.length === 0) return null
  const revisions = [...before, ...fresh.map(([revision]) => revision)].sort((a, b) => a - b)
  const data = [...(known === undefined ? [] : [known.data]), ...fresh.map(([, bytes]) => bytes)]
  return { ...window, revisions, data: merge(data) }
}

/** A sketch stays while every part has one. */
function merge(parts: readonly Uint8Array[]): Uint8Array {
  const [first, ...rest] = parts as [Uint8Array, ...Uint8Array[]]
  if (rest.length === 0) return first
  const store = createAggregateStore(parts.every(hasSketch) ? defaultMaxBuckets : 0, 2)
  const slot = decodeAggregate(store, first)
  for (const part of rest) mergeInto(store, slot, store, decodeAggregate(store, part))
  return encodeAggregate(store, slot)
}

async function upsert(tx: PoolClient, rows: readonly Row[]): Promise<void> {
  const numbers = rows.map(({ data }) => numbersOf(data))
  const column = (name: keyof Finished) => numbers.map(one => one[name])
  await tx.query({
    name: 'write-aggregates',
    text: `insert into aggregate (series_id, start, size_us, hop_us, revisions, data, n, sum, mean, m2, min, max, first_us, first, last_us, last)
           select series_id, 'epoch'::timestamptz + start_us * interval '1 microsecond', size_us, hop_us, revisions::int8[], data, n, sum, mean,
                  m2, min, max, first_us, first, last_us, last
           from unnest($1::int[], $2::int8[], $3::int8[], $4::int8[], $5::text[], $6::bytea[], $7::int8[], $8::float8[], $9::float8[],
                       $10::float8[], $11::float8[], $12::float8[], $13::int8[], $14::float8[], $15::int8[], $16::float8[])
                  as given (series_id, start_us, size_us, hop_us, revisions, data, n, sum, mean, m2, min, max, first_us, first, last_us, last)
           on conflict (series_id, start, size_us, hop_us) do update set
             revisions = excluded.revisions, data = excluded.data, n = excluded.n, sum = excluded.sum, mean = excluded.mean,
             m2 = excluded.m2, min = excluded.min, max = excluded.max, first_us = excluded.first_us, first = excluded.first,
             last_us = excluded.last_us, last = excluded.last`,
    values: [
      ...placesOf(rows),
      rows.map(({ revisions }) => `{${revisions.join(',')}}`),
      rows.map(({ data }) => Buffer.from(data)),
      ...(['n', 'sum', 'mean', 'm2', 'min', 'max', 'firstUs', 'first', 'lastUs', 'last'] as const).map(column),
    ],
  })
}

function placesOf(windows: readonly (WindowPlace & { readonly seriesId: number })[]): number[][] {
  return [
    windows.map(({ seriesId }) => seriesId),
    windows.map(({ startUs }) => startUs),
    windows.map(({ sizeUs }) => sizeUs),
    windows.map(({ hopUs }) => hopUs),
  ]
}

/** The numbers of an aggregate that was judged. */
export function numbersOf(data: Uint8Array): Finished {
  const store = createAggregateStore(0, 1)
  return finish(store, decodeAggregate(store, data))
}

export function lastReadingOf(aggregates: readonly AggregatePart[]): { readonly tsUs: number; readonly value: number } {
  const [first, ...rest] = aggregates.map(({ data }) => numbersOf(data))
  const { lastUs, last } = rest.reduce((newest, one) => (one.lastUs > newest.lastUs ? one : newest), first!)
  return { tsUs: lastUs, value: last }
}
