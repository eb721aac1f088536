import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BootTimes } from '../time/boot-times.ts'
import { noteUnplaced, place, placed } from './place.ts'
import { Kind, Mark, type RowColumns, tagOf } from './row-codec.ts'

const t0Us = 1_760_000_000_000_000
const names = ['d', 'm', '']

/** A row of readings at moments of a boot's clock; with `own`, at times that their payloads gave. */
function row(boot: string, tsUs: readonly number[], own: readonly boolean[] = [], quality: 0 | 1 | 2 = 0): RowColumns {
  const readings = tsUs.length
  return {
    readings,
    names,
    series: new Uint32Array(readings),
    tags: new Uint8Array(readings).fill(tagOf(quality, Kind.number)),
    tsUs: Float64Array.from(tsUs),
    values: new Float64Array(readings),
    strings: [],
    marks: Uint8Array.from(tsUs, (_, index) => (own[index] ? 0 : Mark.unplaced)),
    boot,
  }
}

function trust(bootUs: number, timeUs: number, certain = true) {
  const anchor = { bootUs, timeUs, rate: 0 }
  return { placing: anchor, latest: anchor, certain, source: 'hub' as const }
}

function restarted(times: BootTimes, boot: string): BootTimes {
  return new BootTimes(structuredClone(times.state), boot)
}

test('a row with nothing to place is given back itself', () => {
  const columns = { ...row('', [1, 2]), marks: new Uint8Array(2) }
  expect(place(new BootTimes(null, 'a'), columns)).toBe(columns)
})

test('a row waits for the trust of its boot, and is placed exactly then; what its payloads told stays', () => {
  const times = new BootTimes(null, 'a')
  const columns = row('a', [5e6, 77, 8e6], [false, true, false])
  noteUnplaced(times, 1, columns)
  expect(place(times, columns)).toBeNull()
  times.gain(trust(10e6, t0Us))
  const result = place(times, columns)
  expect([...(result?.tsUs ?? [])]).toEqual([t0Us - 5e6, 77, t0Us - 2e6])
  expect([...(result?.tags ?? [])]).toEqual([0, 0, 0])
  expect([...(result?.marks ?? [])]).toEqual([0, 0, 0])
  expect(columns.tsUs[0]).toBe(5e6)
})

test('what places a boot never changes afterwards, whatever is learned later', () => {
  const times = new BootTimes(null, 'a')
  times.gain(trust(10e6, t0Us))
  times.gain(trust(20e6, t0Us + 13e6))
  const columns = row('a', [5e6])
  expect(place(times, columns)?.tsUs[0]).toBe(t0Us - 5e6)
  expect(place(restarted(times, 'a'), columns)?.tsUs[0]).toBe(t0Us - 5e6)
  expect(times.timeUs(20e6)).toBe(t0Us + 13e6)
})

test('a guess places as uncertain, a better word of the same boot exactly; bad stays bad', () => {
  const times = new BootTimes(null, 'a')
  times.gain(trust(10e6, t0Us, false))
  expect([...(place(times, row('a', [1e6]))?.tags ?? [])]).toEqual([tagOf(1, Kind.number)])
  expect([...(place(times, row('a', [1e6], [], 2))?.tags ?? [])]).toEqual([tagOf(2, Kind.number)])
  expect(times.timeUs(10e6)).toBeNull()
  times.gain(trust(10e6, t0Us + 1e6))
  expect(place(times, row('a', [1e6]))?.tsUs[0]).toBe(t0Us - 8e6)
  times.gain(trust(10e6, t0Us + 9e6, false))
  expect(place(times, row('a', [1e6]))?.tsUs[0]).toBe(t0Us - 8e6)
})

test('a boot that never gained trust is placed at the end of what is left for it, in its order, as uncertain', () => {
  const a = new BootTimes(null, 'a')
  a.gain(trust(1e6, t0Us))
  const b = restarted(a, 'b')
  const rows = [row('b', [2e6, 3e6]), row('b', [5e6])]
  for (const [index, columns] of rows.entries()) noteUnplaced(b, index + 1, columns)
  const c = restarted(b, 'c')
  expect(place(c, rows[0]!)).toBeNull()
  c.gain(trust(4e6, t0Us + 100e6))
  expect(rows.flatMap(columns => [...place(c, columns)!.tsUs])).toEqual([t0Us + 93e6, t0Us + 94e6, t0Us + 96e6])
  expect(place(c, rows[0]!)!.tags[0]).toBe(tagOf(1, Kind.number))
})

test('a boot whose clock ran longer than the interval is pressed into it', () => {
  const a = new BootTimes(null, 'a')
  a.gain(trust(1e6, t0Us))
  const b = restarted(a, 'b')
  const columns = row('b', [1e6, 50e6, 60e6])
  noteUnplaced(b, 1, columns)
  const c = restarted(b, 'c')
  c.gain(trust(0, t0Us + 20e6))
  expect([...place(c, columns)!.tsUs]).toEqual([t0Us, t0Us + 10e6, t0Us + 20e6])
})

test('a boot that nothing is known of any more comes before the first one that is known', () => {
  const times = new BootTimes(null, 'b')
  const columns = row('lost', [1e6, 2e6])
  expect(place(times, columns)).toBeNull()
  times.gain(trust(5e6, t0Us))
  const result = place(times, columns)!
  expect([...result.tsUs]).toEqual([t0Us - 5e6, t0Us - 5e6])
  expect([...result.tags]).toEqual([1, 1])
})

test('rows found at a start make their boot known', () => {
  const times = new BootTimes(null, 'b')
  const columns = row('lost', [1e6, 2e6])
  noteUnplaced(times, 1, columns)
  times.gain(trust(5e6, t0Us))
  expect([...place(times, columns)!.tsUs]).toEqual([t0Us - 6e6, t0Us - 5e6])
})

test('a boot is forgotten with the last row that needs it', () => {
  const a = new BootTimes(null, 'a')
  noteUnplaced(a, 7, row('a', [1]))
  const b = restarted(a, 'b')
  b.forget(7)
  expect(b.state.boots.map(({ boot }) => boot)).toEqual(['a', 'b'])
  b.forget(8)
  expect(b.state.boots.map(({ boot }) => boot)).toEqual(['b'])
})

interface Boot {
  readonly offForUs: number
  readonly startsAtUs: number
  readonly readingsAfterUs: readonly number[]
  readonly restartsAfter: number
  readonly trustAfter: number | null
}

const boot = fc.record({
  offForUs: fc.integer({ min: 0, max: 1e11 }),
  startsAtUs: fc.integer({ min: 0, max: 60e6 }),
  readingsAfterUs: fc.array(fc.integer({ min: 0, max: 1e9 }), { maxLength: 12 }),
  restartsAfter: fc.nat(12),
  trustAfter: fc.option(fc.nat(12), { nil: null }),
})

/** Plays boots as they happen in the world; returns each unplaced row with the truth, and what the last boot knows. */
function play(boots: readonly Boot[]) {
  let nowUs = t0Us
  let times: BootTimes | null = null
  const rows: { columns: RowColumns; boot: number; trueUs: number }[] = []
  const trusted = new Map<number, number>()
  const startsUs: number[] = []
  for (const [index, { offForUs, startsAtUs, readingsAfterUs, restartsAfter, trustAfter }] of boots.entries()) {
    nowUs += offForUs
    startsUs.push(nowUs)
    const bootedUs = nowUs
    nowUs += startsAtUs
    times = new BootTimes(times && structuredClone(times.state), `boot-${index}`)
    const steps = [...readingsAfterUs.entries()]
    for (const [at, afterUs] of steps) {
      if (at === restartsAfter) times = restarted(times, `boot-${index}`)
      nowUs += afterUs
      if (at === trustAfter) {
        times.gain(trust(nowUs - bootedUs, nowUs))
        trusted.set(index, nowUs)
      }
      if (trusted.has(index)) continue
      const columns = row(`boot-${index}`, [nowUs - bootedUs])
      rows.push({ columns, boot: index, trueUs: nowUs })
      noteUnplaced(times, rows.length, columns)
    }
  }
  const last = boots.length
  nowUs += 1
  startsUs.push(nowUs)
  const end = new BootTimes(times && structuredClone(times.state), `boot-${last}`)
  end.gain(trust(0, nowUs))
  return { rows, trusted, startsUs, times: end }
}

test('whatever boots come and go: exact where there was trust, else inside the interval, uncertain, in order', () => {
  fc.assert(
    fc.property(fc.array(boot, { minLength: 1, maxLength: 8 }), boots => {
      const { rows, trusted, startsUs, times } = play(boots)
      let beforeUs = 0
      for (const { columns, boot: index, trueUs } of rows) {
        const result = place(times, columns)!
        const tsUs = result.tsUs[0]!
        expect(tsUs).toBeGreaterThanOrEqual(beforeUs)
        beforeUs = tsUs
        if (trusted.has(index)) {
          expect(tsUs).toBe(trueUs)
          expect(result.tags[0]).toBe(0)
          continue
        }
        const lastTrustedUs = Math.max(0, ...[...trusted].filter(([of]) => of < index).map(([, atUs]) => atUs))
        const nextTrusted = [...trusted.keys(), boots.length].filter(of => of > index).toSorted((a, b) => a - b)[0]!
        expect(tsUs).toBeGreaterThanOrEqual(Math.max(lastTrustedUs, trueUs))
        expect(tsUs).toBeLessThanOrEqual(startsUs[nextTrusted]!)
        expect(result.tags[0]).toBe(tagOf(1, Kind.number))
      }
    }),
    { numRuns: 500 },
  )
})

test('no time leaves its interval', () => {
  const placement = { anchor: { bootUs: 10, timeUs: 100, rate: 0 }, lowerUs: 95, upperUs: 102, certain: false }
  expect([0, 6, 10, 13].map(bootUs => placed(placement, bootUs))).toEqual([95, 96, 100, 102])
})
