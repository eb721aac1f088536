/**
 * The golden vectors: small batches that between them use every form of the layout.
 *
 * `node test/golden/generate.ts` writes their files. A better choice among the forms changes the content and only asks for them to
 * be written again; when bodies written before no longer decode, the layout has changed and needs a new version.
 * Those of layout 1, which is read and no longer written, are kept beside them.
 */
import type { Batch, BatchHeader, SeriesAggregates, SeriesColumns } from '@tributary/shared/batch/batch'
import { aggregateBytes } from '@tributary/shared/batch/test-aggregates'
import type { Value } from '@tributary/shared/reading'

const header: BatchHeader = {
  agentId: 'ag-abcdefghij2345klmnop',
  epoch: 123_456_789_012_345,
  seq: 17,
  bootId: '3f2c1a00-1234-4abc-8def-0123456789ab',
  monotonicUs: 86_400_000_123,
  wallUs: 1_763_800_000_123_456,
  counters: {
    accepted: 1_000_000,
    stored: 999_980,
    suppressed: 5,
    deadLettered: 3,
    evicted: 2,
    maybeDuplicate: 1,
    folded: 10,
    classes: [],
  },
  losses: [],
  recallsDone: [],
}

const startUs = 1_763_800_000_000_000
const firstMinuteUs = 1_763_800_020_000_000

function column(
  name: string,
  tsUs: readonly number[],
  values: readonly number[] | readonly Value[],
  quality: readonly number[] | null = null,
): SeriesColumns {
  const [device, metric, unit] = name.split('/') as [string, string, string]
  return {
    series: { device, metric, unit },
    tsUs: Float64Array.from(tsUs),
    values: values.every(value => typeof value === 'number') ? Float64Array.from(values) : values,
    quality: quality && Uint8Array.from(quality),
  }
}

function numbersFromBits(bits: readonly bigint[]): Float64Array {
  return new Float64Array(BigUint64Array.from(bits).buffer)
}

/** 0 … n − 1 through a function. */
function series<T>(n: number, value: (i: number) => T): T[] {
  return Array.from({ length: n }, (_, i) => value(i))
}

/** A fixed pseudo-random whole number below 2^31 for each i. */
function noise(i: number): number {
  return (Math.imul(i + 1, 0x9e37_79b1) ^ Math.imul(i + 7, 0x85eb_ca6b)) >>> 1
}

/** Aggregates of the minutes from `firstMinuteUs` on, of 60 readings each, with sketches of `buckets` if that is not 0. */
function minutes(
  name: string,
  n: number,
  value: (minute: number, i: number) => number,
  buckets: number,
): SeriesAggregates {
  const [device, metric, unit] = name.split('/') as [string, string, string]
  const starts = series(n, minute => firstMinuteUs + 60_000_000 * minute)
  return {
    series: { device, metric, unit },
    sizeUs: 60_000_000,
    hopUs: 60_000_000,
    startUs: Float64Array.from(starts),
    revision: new Uint32Array(n),
    data: starts.map((start, minute) =>
      aggregateBytes(
        series(60, i => ({ tsUs: start + 1_000_000 * i + (noise(i) % 1000), value: value(minute, i) })),
        buckets,
      ),
    ),
  }
}

/** Every second from `startUs`, ± 2 ms. */
function jittered(n: number, salt: number): number[] {
  return series(n, i => startUs + 1_000_000 * i + 1000 * ((noise(i + salt) % 5) - 2))
}

const extremes = [
  Number.MIN_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER,
  0,
  -1,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
]

/** Name → batch. */
export const vectors: Readonly<Record<string, Batch>> = {
  'no-readings': {
    header: {
      ...header,
      bootId: 'unknown',
      monotonicUs: -5,
      wallUs: Number.MIN_SAFE_INTEGER,
      losses: [
        { epoch: 5, fromSeq: 3, toSeq: 9, readings: 700, exact: true, reason: 'evicted' },
        { epoch: 2 ** 48 - 1, fromSeq: 0, toSeq: Number.MAX_SAFE_INTEGER, readings: 0, exact: false, reason: '' },
      ],
    },
    columns: [],
    aggregates: [],
  },
  'one-reading': { header, columns: [column('press-1/temperature/Cel', [startUs], [20.5])], aggregates: [] },
  fleet: {
    header,
    columns: [
      column(
        'press-1/temperature/Cel',
        jittered(40, 1),
        series(40, i => (2000 + Math.round(noise(i) / 2 ** 26) * 4) / 100),
      ),
      column(
        'press-1/count/1',
        jittered(40, 2),
        series(40, i => 70_000 + 3 * i + (noise(i) % 2)),
      ),
      column(
        'agv-1/lat/deg',
        jittered(40, 3),
        series(40, i => (48_137_154 + 7 * i - (noise(i) % 9)) / 1e6),
      ),
      column(
        'agv-1/lon/deg',
        jittered(40, 3),
        series(40, i => (11_575_490 + i * i) / 1e6),
      ),
      column(
        'door-1/open/',
        jittered(40, 4),
        series(40, i => i > 11 && i < 30),
      ),
      column(
        'door-1/state/',
        jittered(40, 5),
        series(40, i => (i > 11 && i < 30 ? 'open' : 'closed')),
      ),
    ],
    aggregates: [],
  },
  doubles: {
    header,
    columns: [
      {
        ...column(
          'd/bits/',
          series(8, i => i),
          [],
        ),
        values: numbersFromBits([
          0x7ff8_0000_0000_0000n,
          0x7ff0_0000_0000_0001n,
          0xffff_ffff_ffff_ffffn,
          0x8000_0000_0000_0000n,
          0x7ff0_0000_0000_0000n,
          0xfff0_0000_0000_0000n,
          0x0000_0000_0000_0001n,
          0x7fef_ffff_ffff_ffffn,
        ]),
      },
      column(
        'd/full-precision/',
        series(12, i => i),
        series(12, i => Math.sqrt(i + 2)),
      ),
      column(
        'd/exceptions/',
        series(40, i => i),
        series(40, i => [0.5 * i, -0, Number.POSITIVE_INFINITY][i === 7 ? 1 : i === 39 ? 2 : 0]!),
      ),
      column(
        'd/nudges/',
        series(30, i => i),
        series(30, i => i * 0.1 + 0.2),
      ),
      column(
        'd/around-2^53/',
        series(4, i => i),
        [2 ** 53, 2 ** 53 - 1, -(2 ** 53), 2 ** 53 + 2],
      ),
      column(
        'd/single/',
        series(9, i => i),
        series(9, i => Math.fround(20 + i / 7)),
      ),
    ],
    aggregates: [],
  },
  times: {
    header,
    columns: [
      column(
        't/extremes/',
        extremes,
        extremes.map((_, i) => i),
      ),
      column(
        't/equal/',
        series(5, () => startUs),
        [1, 1, 1, 1, 1],
      ),
      column(
        't/regular/',
        series(50, i => startUs + 250_000 * i),
        series(50, i => i % 3),
      ),
      column(
        't/accelerating/',
        series(50, i => startUs + 7 * i * i),
        series(50, i => 10 ** (i % 10)),
      ),
      column(
        't/odd-tick/',
        series(20, i => startUs + 4_567 * ((noise(i) % 100) + 1)),
        series(20, i => -i),
      ),
      column(
        't/outlier/',
        series(60, i => startUs + 1000 * (noise(i) % 3) + (i === 31 ? 2 ** 45 : 0)),
        series(60, noise),
      ),
      column(
        't/backwards/',
        series(20, i => startUs - 1000 * i),
        series(20, i => 5 - i),
      ),
    ],
    aggregates: [],
  },
  'text-and-mixture': {
    header,
    columns: [
      column('Förderband/状態/', [1, 2, 3, 4], ['', 'läuft', '停止 🛑', '\ufeffläuft\u0000'], [0, 1, 2, 0]),
      column('x/mixed/', [1, 2, 3, 4, 5, 6, 7], ['on', 1.5, true, -2, 'on', false, 'off']),
      column('x/mixed-two/', [1, 2], [true, 'true']),
      column(
        'x/alternating/',
        series(30, i => i),
        series(30, i => noise(i) % 2 === 0),
        series(30, i => (i < 20 ? 2 : 0)),
      ),
    ],
    aggregates: [],
  },
  aggregates: {
    header: {
      ...header,
      counters: {
        ...header.counters,
        classes: [
          { class: 'raw', accepted: 999_900, stored: 999_889, folded: 4, suppressed: 5, evicted: 2 },
          { class: 'alarm', accepted: 7, stored: 7, folded: 0, suppressed: 0, evicted: 0 },
          { class: 'aggregate', accepted: 90, stored: 84, folded: 6, suppressed: 0, evicted: 0 },
        ],
      },
      recallsDone: [
        { id: 3, readings: 3600, complete: true },
        { id: Number.MAX_SAFE_INTEGER, readings: 0, complete: false },
      ],
    },
    columns: [column('press-1/temperature/Cel', [startUs], [20.5])],
    aggregates: [
      minutes('press-1/temperature/Cel', 30, (minute, i) => (2000 + minute + (noise(60 * minute + i) % 40)) / 100, 512),
      minutes('press-1/count/1', 30, (minute, i) => 70_000 + 60 * minute + i, 0),
      minutes('agv-1/lat/deg', 1, (_, i) => 48.137_154 + i * 0.1, 0),
      {
        ...minutes('pump-1/full-precision/', 3, (minute, i) => Math.sqrt(2 + 60 * minute + i), 8),
        sizeUs: 3_600_000_000,
        hopUs: 60_000_000,
        revision: Uint32Array.of(0, 7, 2 ** 32 - 1),
      },
      minutes('pump-1/extremes/', 2, (_, i) => [-0, 5e-324, Number.MAX_VALUE, -Number.MAX_VALUE][i % 4]!, 0),
    ],
  },
}
