import { noCounters, type SeriesAggregates } from '@tributary/shared/batch/batch'
import { aggregateBytes } from '@tributary/shared/batch/test-aggregates'
import { expect, test } from 'vitest'
import { judgeBatch, maxFutureMs } from './judge.ts'
import { maxWindowUs } from './judge-aggregates.ts'

const nowMs = Date.UTC(2026, 3, 1, 12)
const nowUs = nowMs * 1000
const minuteUs = 60_000_000
const year2000Us = Date.UTC(2000, 0) * 1000
const anySeries = { admit: () => true }
const header = {
  agentId: 'ag',
  epoch: 1,
  seq: 1,
  bootId: '',
  monotonicUs: 0,
  wallUs: 0,
  counters: noCounters,
  losses: [],
  recallsDone: [],
}

/** A window with a reading at its start, unless it is said where else its readings are. */
function one(
  startUs: number,
  change: Partial<SeriesAggregates> = {},
  at: readonly number[] = [startUs],
): SeriesAggregates {
  return {
    series: { device: 'pump', metric: 'flow', unit: '' },
    sizeUs: minuteUs,
    hopUs: minuteUs,
    startUs: Float64Array.of(startUs),
    revision: Uint32Array.of(0),
    data: [aggregateBytes(at.map(tsUs => ({ tsUs, value: 1.5 })))],
    ...change,
  }
}

function verdict(...aggregates: SeriesAggregates[]): [number, string][] {
  return [...judgeBatch({ header, columns: [], aggregates }, nowMs, anySeries)]
}

const reasonOf = (aggregates: SeriesAggregates) => verdict(aggregates)[0]?.[1] ?? 'none'

test('a window that was, and one that is not over yet, are accepted', () => {
  expect(verdict(one(nowUs - minuteUs), one(nowUs))).toEqual([])
})

test('an index counts on after the readings', () => {
  const columns = [
    {
      series: { device: 'pump', metric: 'flow', unit: '' },
      tsUs: Float64Array.of(nowUs, nowUs),
      values: Float64Array.of(1, Number.NaN),
      quality: null,
    },
  ]
  const aggregates = [one(nowUs), one(nowUs + 1)]
  expect([...judgeBatch({ header, columns, aggregates }, nowMs, anySeries)]).toEqual([
    [1, 'non-finite'],
    [3, 'window'],
  ])
})

const edgeUs = nowUs + maxFutureMs * 1000

test.each([
  ['starts five minutes ahead', one(edgeUs), 'none'],
  ['starts later than that', one(edgeUs + minuteUs), 'future'],
  ['has a reading five minutes ahead', one(edgeUs - minuteUs, {}, [edgeUs - 1]), 'none'],
  ['has a reading later than that', one(edgeUs, {}, [edgeUs + 1]), 'future'],
  ['starts in the first instant of 2000', one(year2000Us), 'none'],
  ['starts before', one(year2000Us - minuteUs), 'before-2000'],
  ['does not start at its hop', one(nowUs - 1), 'window'],
  ['starts at its hop, which is not its size', one(nowUs - 20_000_000, { hopUs: 20_000_000 }), 'none'],
  ['has a reading in its last microsecond', one(nowUs - minuteUs, {}, [nowUs - 1]), 'none'],
  ['has a reading at its end', one(nowUs - minuteUs, {}, [nowUs]), 'window'],
  ['has a reading before its start', one(nowUs, {}, [nowUs - 1]), 'window'],
  ['is a year long', one(0, { sizeUs: maxWindowUs, hopUs: 1, startUs: Float64Array.of(nowUs) }, [nowUs]), 'none'],
  ['is longer', one(0, { sizeUs: maxWindowUs + 1, hopUs: 1, startUs: Float64Array.of(nowUs) }, [nowUs]), 'window'],
  ['has no name', one(nowUs, { series: { device: '', metric: 'm', unit: '' } }), 'name'],
])('a window that %s: %s', (_, aggregates, reason) => {
  expect(reasonOf(aggregates)).toBe(reason)
})

test('bytes whose sums cannot be, or of a later version, are no aggregate', () => {
  const bytes = aggregateBytes([{ tsUs: nowUs, value: 1.5 }])
  const squaresTooSmall = bytes.slice()
  squaresTooSmall[squaresTooSmall.length - 1] = 1
  expect(reasonOf(one(nowUs, { data: [squaresTooSmall] }))).toBe('aggregate')
  const newer = bytes.slice()
  newer[0] = 2
  expect(reasonOf(one(nowUs, { data: [newer] }))).toBe('aggregate')
  expect(reasonOf(one(nowUs, { data: [bytes] }))).toBe('none')
})

test('a series that the budget does not admit is refused whole', () => {
  const judged = judgeBatch({ header, columns: [], aggregates: [one(nowUs)] }, nowMs, { admit: () => false })
  expect([...judged]).toEqual([[0, 'cardinality']])
})
