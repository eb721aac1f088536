import { expect, test } from 'vitest'
import { isTributaryError } from '../errors.ts'
import { quantile } from './aggregate.ts'
import { createWindows } from './create-windows.ts'
import { recorder } from './test-windows.ts'
import type { WindowSpec } from './window-spec.ts'
import type { Windows } from './windows.ts'

const minuteUs = 60_000_000

/** Windows (unless told otherwise, without lateness) with one open series, and a way to see what they emitted since last asked. */
function start(spec: WindowSpec): {
  windows: Windows
  add: (tsUs: number, value?: number) => string
  emitted: () => string[]
} {
  const { emissions, emit } = recorder(spec.kind)
  const windows = createWindows({ latenessUs: 0, keepForUs: 1000, ...spec }, emit)
  windows.open()
  let order = 0
  return {
    windows,
    add: (tsUs, value = 1) => windows.add(0, tsUs, order++, value),
    emitted: () =>
      emissions
        .splice(0)
        .map(({ id, revision, retracted, truncated, numbers }) =>
          [id, `r${revision}`, retracted ? 'retracted' : `n${numbers.n}`, ...(truncated ? ['truncated'] : [])].join(
            ' ',
          ),
        ),
  }
}

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (isTributaryError(error)) return error.code
    throw error
  }
  return 'none'
}

test('a window closes when the watermark reaches its end, and not a microsecond before', () => {
  const { add, emitted } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 4 })
  add(3)
  add(9)
  add(13)
  expect(emitted()).toEqual([])
  add(14)
  expect(emitted()).toEqual(['0/0 r0 n2'])
})

test('late readings correct a closed window until keepFor has passed, then they are handed back', () => {
  const { windows, add, emitted } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 0, keepForUs: 5 })
  add(1)
  add(10)
  expect(emitted()).toEqual(['0/0 r0 n1'])
  expect([add(2), add(3)]).toEqual(['late', 'late'])
  expect(emitted()).toEqual([])
  windows.settle()
  expect(emitted()).toEqual(['0/0 r2 n3'])
  add(14)
  expect(add(4)).toBe('late')
  windows.settle()
  expect(emitted()).toEqual(['0/0 r3 n4'])
  add(15)
  expect(windows.finalUs(0)).toBe(10)
  expect(add(5)).toBe('too-late')
  windows.settle()
  expect(emitted()).toEqual([])
})

test('a correction that nobody has asked for yet is emitted before its window is freed', () => {
  const { add, emitted } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 0, keepForUs: 5 })
  for (const tsUs of [1, 10, 2, 40]) add(tsUs)
  expect(emitted()).toEqual(['0/0 r0 n1', '0/10 r0 n1', '0/0 r1 n2'])
})

test('a window that was empty when it closed begins with a revision above 0', () => {
  const { windows, add, emitted } = start({ kind: 'hopping', sizeUs: 20, hopUs: 10, latenessUs: 0 })
  add(5)
  add(95)
  expect(emitted()).toEqual(['0/-10 r0 n1', '0/0 r0 n1'])
  expect(add(45)).toBe('late')
  windows.settle()
  expect(emitted()).toEqual(['0/30 r1 n1', '0/40 r1 n1'])
})

test('a reading of hopping windows of which some are final is in the others, and the caller is told', () => {
  const { windows, add, emitted } = start({ kind: 'hopping', sizeUs: 20, hopUs: 10, latenessUs: 0, keepForUs: 5 })
  for (const tsUs of [5, 12, 25]) add(tsUs)
  expect(emitted()).toEqual(['0/-10 r0 n1', '0/0 r0 n2'])
  expect(windows.finalUs(0)).toBe(20)
  expect(add(13)).toBe('partly-too-late')
  windows.settle()
  add(30)
  expect(emitted()).toEqual(['0/10 r0 n3'])
})

test('a revision counts from what the window held when it closed, however many windows there are', () => {
  const { windows, add, emitted } = start({ kind: 'hopping', sizeUs: 10, hopUs: 4, keepForUs: 400 })
  for (let tsUs = 0; tsUs <= 100; tsUs += 8) add(tsUs)
  const closed = emitted()
  expect(closed.every(text => text.includes(' r0 '))).toBe(true)
  for (let tsUs = 1; tsUs < 80; tsUs += 8) add(tsUs)
  windows.settle()
  for (const text of emitted()) {
    const [, revision, n] = /r(\d+) n(\d+)$/.exec(text)!.map(Number)
    const before = closed.find(other => other.startsWith(`${text.split(' ')[0]} `))
    expect(n! - revision!).toBe(before === undefined ? 0 : Number(before.split(' n')[1]))
  }
})

test('the clock of one series moves no other', () => {
  const { windows, add, emitted } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 0 })
  const fast = windows.open()
  add(5)
  windows.add(fast, 8_000_000_000_000_000, 0, 1)
  expect(add(6)).toBe('taken')
  expect(emitted()).toEqual([])
})

test('a silent series closes at the rate of the clock; one with readings does not, whatever its own clock says', () => {
  const { windows, add, emitted } = start({
    kind: 'tumbling',
    sizeUs: minuteUs,
    latenessUs: 0,
    idleAfterUs: 30_000_000,
    keepForUs: 60 * minuteUs,
  })
  const slow = windows.open()
  const clockUs = 1_000 * minuteUs
  add(10_000_000)
  for (const silentS of [0, 29, 49, 50, 90]) {
    windows.add(slow, silentS * 1_000_000, silentS, 1)
    windows.idle(clockUs + silentS * 1_000_000)
    expect(emitted().filter(text => text.startsWith('0/'))).toEqual(silentS === 50 ? ['0/0 r0 n1'] : [])
  }
  expect(add(20_000_000)).toBe('late')
  windows.settle()
  expect(emitted().filter(text => text.startsWith('0/'))).toEqual(['0/0 r1 n2'])
})

test('a clock that stands or goes back closes nothing', () => {
  const { windows, add, emitted } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 0, idleAfterUs: 0 })
  add(5)
  for (const nowUs of [100, 100, 0, -1000]) windows.idle(nowUs)
  expect(emitted()).toEqual([])
})

test('a silent series gives its memory back once its windows are final', () => {
  const { windows, add } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 0, keepForUs: 20, idleAfterUs: 10 })
  const empty = windows.bytes()
  add(5)
  windows.idle(0)
  windows.idle(24)
  expect(windows.bytes()).toBeGreaterThan(empty)
  windows.idle(25)
  expect(windows.bytes()).toBe(empty)
  expect(add(6)).toBe('too-late')
})

test('a late reading that bridges two closed sessions retracts the later one', () => {
  const { windows, add, emitted } = start({ kind: 'session', gapUs: 5 })
  for (const tsUs of [100, 103, 112, 130]) add(tsUs)
  expect(emitted()).toEqual(['0/100 r0 n2', '0/112 r0 n1'])
  expect(add(108)).toBe('late')
  windows.settle()
  expect(emitted()).toEqual(['0/112 r1 retracted', '0/100 r2 n4'])
  expect(add(96)).toBe('late')
  windows.settle()
  expect(emitted()).toEqual(['0/100 r3 retracted', '0/96 r5 n5'])
})

test('a session closes a gap after its last reading, and is cut at its longest length', () => {
  const { add, emitted } = start({ kind: 'session', gapUs: 5, maxLengthUs: 10, latenessUs: 0 })
  for (const tsUs of [2, 7]) add(tsUs)
  add(9)
  add(10)
  expect(emitted()).toEqual(['0/2 r0 n3'])
  add(15)
  add(19)
  expect(emitted()).toEqual([])
  add(26)
  expect(emitted()).toEqual(['0/10 r0 n3'])
})

test('a sliding window beyond maxReadings holds the newest, says so, and older readings are too late', () => {
  const { add, emitted } = start({ kind: 'sliding', durationUs: 100, latenessUs: 0, maxReadings: 3 })
  for (const tsUs of [1, 2, 3]) add(tsUs)
  expect(emitted()).toEqual(['0/1/0 r0 n1', '0/2/1 r0 n2', '0/3/2 r0 n3'])
  add(4)
  expect(emitted()).toEqual(['0/4/3 r0 n3 truncated'])
  expect(add(0)).toBe('too-late')
  add(101)
  expect(emitted()).toEqual(['0/101/5 r0 n3 truncated'])
  add(102)
  expect(emitted()).toEqual(['0/102/6 r0 n3 truncated'])
  add(300)
  expect(emitted()).toEqual(['0/300/7 r0 n1'])
})

test('sliding readings that wait for the watermark are processed early at maxReadings', () => {
  const { add, emitted } = start({ kind: 'sliding', durationUs: 10, latenessUs: 1000, maxReadings: 2 })
  for (const tsUs of [1, 2]) add(tsUs)
  expect(emitted()).toEqual([])
  add(3)
  expect(emitted()).toEqual(['0/1/0 r0 n1'])
})

test('a sliding window over thousands of readings keeps its extremes, ends and quantiles', () => {
  const found: number[][] = []
  const windows = createWindows(
    { kind: 'sliding', durationUs: 1000, latenessUs: 0, keepForUs: 0 },
    ({ aggregates, slot, endUs }) => {
      const at = slot * 16
      found.push([endUs, ...aggregates.numbers.subarray(at, at + 3), quantile(aggregates, slot, 0.5)])
    },
  )
  windows.open()
  const value = (i: number): number => ((i * 7919) % 1009) + 1
  for (let i = 0; i < 5000; i++) windows.add(0, i, i, value(i))
  for (const i of [0, 10, 999, 1000, 1001, 2500, 4999]) {
    const held = Array.from({ length: Math.min(1000, i + 1) }, (_, j) => value(i - j)).toSorted((a, b) => a - b)
    const [endUs, n, min, max, median] = found[i]!
    expect([endUs, n, min, max]).toEqual([i, held.length, held[0], held.at(-1)])
    const ranked = held[Math.floor((held.length - 1) / 2)]!
    expect(Math.abs(median! - ranked)).toBeLessThanOrEqual(ranked / 129 + 1e-9)
  }
  expect(windows.bytes()).toBeLessThan(128 * 1024)
})

test('count windows wait for their readings, and the oldest is counted early at maxReadings', () => {
  const { add, emitted } = start({ kind: 'count', n: 2, latenessUs: 1000, maxReadings: 4 })
  for (const tsUs of [5, 1]) add(tsUs)
  add(3)
  expect(emitted()).toEqual([])
  add(4)
  expect(add(2)).toBe('too-late')
  expect(emitted()).toEqual(['0/0 r0 n2'])
})

test('at maxSeries another series is refused until one is closed', () => {
  const windows = createWindows({ kind: 'count', n: 2, maxSeries: 2 }, () => undefined)
  windows.open()
  const second = windows.open()
  expect(codeOf(() => windows.open())).toBe('too-large')
  windows.close(second)
  expect(windows.open()).toBe(second)
  expect(() => windows.add(2, 0, 0, 0)).toThrow('series 2 is not open')
})

test('at maxBytes a reading that needs a new window is handed back; open windows go on, closed ones make room', () => {
  const spec: WindowSpec = { kind: 'tumbling', sizeUs: 10, latenessUs: 20, keepForUs: 0, sketchBuckets: 0 }
  const measured = start(spec)
  measured.add(1)
  measured.add(11)
  const { add, emitted } = start({ ...spec, maxBytes: measured.windows.bytes() })
  expect([add(1), add(11), add(21)]).toEqual(['taken', 'taken', 'full'])
  expect(add(12)).toBe('taken')
  expect(add(31)).toBe('taken')
  expect(emitted()).toEqual(['0/0 r0 n1'])
})

test('at maxBytes a session is not begun; one that is open goes on', () => {
  const spec: WindowSpec = { kind: 'session', gapUs: 5, sketchBuckets: 0 }
  const measured = start(spec)
  measured.add(1)
  const { add } = start({ ...spec, maxBytes: measured.windows.bytes() })
  expect([add(1), add(50), add(4)]).toEqual(['taken', 'full', 'late'])
})

test.each<WindowSpec>([
  { kind: 'sliding', durationUs: 5, sketchBuckets: 0, latenessUs: 1000 },
  { kind: 'count', n: 3, sketchBuckets: 0, latenessUs: 1000 },
])('at maxBytes $kind windows take readings that need no more memory', spec => {
  const measured = start(spec)
  measured.add(1)
  const { windows, add } = start({ ...spec, maxBytes: measured.windows.bytes() })
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(tsUs => add(tsUs))).toEqual([...Array(8).fill('taken'), 'full'])
  expect(windows.add(windows.open(), 1, 0, 1)).toBe('full')
  expect(add(3000)).toBe('taken')
})

test('a closed series leaves no bytes, and its final time opens it again', () => {
  for (const kind of [
    { kind: 'tumbling', sizeUs: 10 },
    { kind: 'session', gapUs: 10 },
    { kind: 'sliding', durationUs: 10 },
    { kind: 'count', n: 2 },
  ] as const) {
    const { windows, add } = start({ ...kind, keepForUs: 1000 })
    windows.close(0)
    const empty = windows.bytes()
    windows.open()
    add(5, 1e300)
    const finalUs = windows.close(0)
    expect(windows.bytes()).toBe(empty)
    windows.open(finalUs)
    expect(add(4)).toBe(kind.kind === 'sliding' ? 'partly-too-late' : 'too-late')
    expect(add(100)).toBe('taken')
  }
})

test('values that are not finite are handed back, times that are no safe integer refused', () => {
  const { windows, add } = start({ kind: 'tumbling', sizeUs: 10 })
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    expect(add(1, value)).toBe('not-finite')
  for (const tsUs of [0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])
    expect(codeOf(() => add(tsUs))).toBe('unprocessable')
  expect(windows.finalUs(0)).toBe(Number.NEGATIVE_INFINITY)
})

test('times at the ends of the safe integers are aligned exactly', () => {
  const { add, emitted } = start({ kind: 'tumbling', sizeUs: 7, latenessUs: 0, keepForUs: 0 })
  add(Number.MIN_SAFE_INTEGER + 20)
  add(0)
  add(2 ** 53 - 20)
  add(2 ** 53 - 1)
  const first = Number.MIN_SAFE_INTEGER + 20
  const last = 2 ** 53 - 20
  const floor = (tsUs: number): number => Number(BigInt(tsUs) - (((BigInt(tsUs) % 7n) + 7n) % 7n))
  expect(emitted()).toEqual([first, 0, last].map(tsUs => `0/${floor(tsUs)} r0 n1`))
})

test.each<[string, WindowSpec]>([
  ['4097 windows', { kind: 'tumbling', sizeUs: 1, latenessUs: 0, keepForUs: 4095 }],
  ['hopUs is longer', { kind: 'hopping', sizeUs: 10, hopUs: 11 }],
  ['sizeUs is 0', { kind: 'tumbling', sizeUs: 0 }],
  ['sizeUs is 1.5', { kind: 'tumbling', sizeUs: 1.5 }],
  ['hopUs is 0', { kind: 'hopping', sizeUs: 10, hopUs: 0 }],
  ['durationUs is NaN', { kind: 'sliding', durationUs: Number.NaN }],
  ['gapUs is -1', { kind: 'session', gapUs: -1 }],
  ['maxLengthUs is 4', { kind: 'session', gapUs: 5, maxLengthUs: 4 }],
  ['may need', { kind: 'session', gapUs: 1_000 }],
  ['n is 0', { kind: 'count', n: 0 }],
  ['below maxReadings', { kind: 'count', n: 4096 }],
  ['latenessUs is -1', { kind: 'count', n: 2, latenessUs: -1 }],
  ['maxReadings is 65537', { kind: 'count', n: 2, maxReadings: 65_537 }],
])('a spec is refused before the first reading: %s', (what, spec) => {
  expect(codeOf(() => createWindows(spec, () => undefined))).toBe('config')
  expect(() => createWindows(spec, () => undefined)).toThrow(what)
})

test('at the bound of windows a spec is accepted, and never needs more of them', () => {
  const { windows, add } = start({ kind: 'tumbling', sizeUs: 1, latenessUs: 100, keepForUs: 3993, sketchBuckets: 0 })
  for (let tsUs = 0; tsUs < 10_000; tsUs++) add(tsUs)
  const bytesPerWindow = 144 + 28
  expect(windows.bytes()).toBeLessThanOrEqual(4096 * bytesPerWindow + 200)
})

test('10,000 series of one-minute windows take 253 bytes each, 48 more with a sketch of up to 4 buckets, before and after a restart', () => {
  for (const [sketchBuckets, bytesPerSeries] of [
    [0, 81 + 172],
    [512, 81 + 172 + 48],
  ] as const) {
    const spec: WindowSpec = { kind: 'tumbling', sizeUs: minuteUs, keepForUs: 0, sketchBuckets }
    const [before, after] = [createWindows(spec, () => undefined), createWindows(spec, () => undefined)]
    for (let series = 0; series < 10_000; series++) {
      before.open()
      after.open()
      for (let i = 0; i < 3; i++) before.add(series, minuteUs + i, i, series + i / 4)
      const record = before.record(series)
      after.restore(series, record)
      expect(after.record(series)).toEqual(record)
    }
    // The slot where panes are merged belongs to no series.
    expect(before.bytes()).toBe(10_000 * bytesPerSeries + 144 + 28)
    expect(after.bytes()).toBe(before.bytes())
  }
})

test('state is recorded only when every correction has been emitted', () => {
  const { windows, add } = start({ kind: 'tumbling', sizeUs: 10, latenessUs: 0 })
  for (const tsUs of [1, 20, 2]) add(tsUs)
  expect(() => windows.record(0)).toThrow('before the corrected windows were emitted')
  windows.settle()
  expect(windows.record(0).length).toBeGreaterThan(0)
})

const restorable: WindowSpec[] = [
  { kind: 'tumbling', sizeUs: 10 },
  { kind: 'hopping', sizeUs: 20, hopUs: 10 },
  { kind: 'session', gapUs: 10 },
  { kind: 'sliding', durationUs: 20 },
  { kind: 'count', n: 3 },
]

test.each(restorable)('$kind state of other windows is not continued', spec => {
  const { windows, add } = start({ ...spec, latenessUs: 1 })
  add(1)
  const record = windows.record(0)
  for (const other of [
    { ...spec, latenessUs: 2 },
    { ...spec, latenessUs: 1, sketchBuckets: 64 },
  ]) {
    const elsewhere = start(other)
    elsewhere.add(7)
    const before = elsewhere.windows.record(0)
    expect(elsewhere.windows.restore(0, record)).toBe(false)
    expect(elsewhere.windows.record(0)).toEqual(before)
  }
  expect(start({ ...spec, latenessUs: 1, maxSeries: 7 }).windows.restore(0, record)).toBe(true)
})

test.each(restorable)('damaged $kind state is refused, and leaves a series that works and holds nothing', spec => {
  const from = start(spec)
  for (const [i, tsUs] of [1, 5, 30, 31, 90].entries()) from.add(tsUs, i)
  const record = from.windows.record(0)
  const { windows, add } = start(spec)
  const empty = windows.bytes()
  for (let at = 6; at < record.length; at++) {
    for (const bytes of [record.subarray(0, at), record.map((byte, i) => (i === at ? byte ^ 0xff : byte))]) {
      const code = codeOf(() => windows.restore(0, bytes))
      expect(['none', 'malformed', 'unsupported-version']).toContain(code)
      if (code !== 'none') {
        const left = windows.bytes()
        windows.close(0)
        windows.open()
        expect(left).toBe(empty)
      }
      add(1000)
      windows.settle()
      windows.close(0)
      windows.open()
    }
  }
})
