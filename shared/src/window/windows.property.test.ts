import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createWindows } from './create-windows.ts'
import { finishByOracle, readingsOf, type TestReading } from './test-oracle.ts'
import { tame, wild } from './test-values.ts'
import { recorder, standing, type TestEmission, type TestWindow, windowsByOracle } from './test-windows.ts'
import type { WindowKindSpec, WindowOptions } from './window-spec.ts'
import type { Taken, Windows } from './windows.ts'

/** Small times: everything happens within some hundred µs. */
const kinds: Record<string, WindowKindSpec> = {
  tumbling: { kind: 'tumbling', sizeUs: 10, offsetUs: 3 },
  hopping: { kind: 'hopping', sizeUs: 12, hopUs: 4, offsetUs: -1 },
  'hopping by a part that does not divide the size': { kind: 'hopping', sizeUs: 10, hopUs: 4 },
  sliding: { kind: 'sliding', durationUs: 9 },
  session: { kind: 'session', gapUs: 4, maxLengthUs: 60, offsetUs: 7 },
  count: { kind: 'count', n: 5, every: 2 },
}
const farUs = 1_000_000

/** In order of event time, with the order of arrival as the number. */
const readings = fc
  .array(
    fc.tuple(fc.integer({ min: 0, max: 8 }), fc.oneof({ weight: 9, arbitrary: tame }, { weight: 1, arbitrary: wild })),
    {
      minLength: 1,
      maxLength: 40,
    },
  )
  .map(steps => {
    let tsUs = -40
    return readingsOf(
      steps.map(([step, value]) => {
        tsUs += step
        return [tsUs, value]
      }),
    )
  })

/** The same readings as they arrive when each is held up by up to `most` µs. */
function heldUp(most: number): fc.Arbitrary<{ sent: TestReading[]; arrived: TestReading[] }> {
  return readings.chain(sent =>
    fc.array(fc.integer({ min: 0, max: most }), { minLength: sent.length, maxLength: sent.length }).map(delays => ({
      sent,
      arrived: sent
        .map((reading, i) => ({ reading, at: reading.tsUs + delays[i]! }))
        .toSorted((a, b) => a.at - b.at)
        .map(({ reading }) => reading),
    })),
  )
}

const cuts = fc.array(fc.boolean(), { minLength: 7, maxLength: 7 })

/** Feed; `settle` where the cuts say. Returns what became of each. */
function feed(windows: Windows, arrived: readonly TestReading[], settles: readonly boolean[], from = 0): Taken[] {
  const taken = arrived.map(({ tsUs, order, value }, i) => {
    const what = windows.add(0, tsUs, order, value)
    if (settles[(from + i) % settles.length]) windows.settle()
    return what
  })
  windows.settle()
  return taken
}

/** Everything that was fed closes. */
function end(windows: Windows): void {
  windows.add(0, farUs, Number.MAX_SAFE_INTEGER, 1)
}

function windowsOf(emissions: Map<string, TestEmission>): TestWindow[] {
  return [...emissions.values()]
    .filter(({ endUs }) => endUs < farUs)
    .map(({ id, startUs, endUs, numbers }) => ({ id, startUs, endUs, numbers }))
}

/** The windows that a late reading was not too late for: each of them holds what came before it was final. */
function windowsBeforeFinal(kind: WindowKindSpec, arrived: readonly TestReading[], behindUs: number): TestWindow[] {
  let newestUs = Number.NEGATIVE_INFINITY
  const finals = arrived.map(({ tsUs }) => {
    newestUs = Math.max(newestUs, tsUs)
    return newestUs - behindUs
  })
  const arrival = new Map(arrived.map(({ order }, i) => [order, i]))
  return windowsByOracle(kind, arrived).flatMap(window => {
    const lastUs = kind.kind === 'sliding' ? window.endUs : window.endUs - 1
    const own = kind.kind === 'sliding' ? arrival.get(Number(window.id.split('/').at(-1)))! : -1
    if (own >= 0 && lastUs < finals[own]!) return []
    const held = arrived.filter(({ tsUs, order }, i) => {
      const inside =
        kind.kind === 'sliding'
          ? isInSliding(kind, arrived[own]!, tsUs, order)
          : tsUs >= window.startUs && tsUs <= lastUs
      return inside && (i <= own || lastUs >= finals[i]!)
    })
    if (held.length === 0) return []
    const numbers = finishByOracle(held)
    return [{ ...window, numbers, startUs: kind.kind === 'sliding' ? numbers.firstUs : window.startUs }]
  })
}

function isInSliding(kind: { durationUs: number }, end: TestReading, tsUs: number, order: number): boolean {
  return tsUs > end.tsUs - kind.durationUs && (tsUs < end.tsUs || (tsUs === end.tsUs && order <= end.order))
}

const byId = (a: TestWindow, b: TestWindow): number => (a.id < b.id ? -1 : 1)

describe.each(Object.entries(kinds))('%s windows', (_, kind) => {
  const run = (options: WindowOptions, arrived: readonly TestReading[], settles: readonly boolean[]) => {
    const { emissions, emit } = recorder(kind.kind)
    const windows = createWindows({ ...kind, sketchBuckets: 8, ...options }, emit)
    windows.open()
    const taken = feed(windows, arrived, settles)
    end(windows)
    return { emissions, taken }
  }

  test('in any order within the lateness each window is emitted once, with the numbers of exact arithmetic', () => {
    const latenessUs = 15
    fc.assert(
      fc.property(heldUp(latenessUs - 1), cuts, ({ sent, arrived }, settles) => {
        const { emissions, taken } = run({ latenessUs, keepForUs: 0 }, arrived, settles)
        expect(new Set(taken)).toEqual(new Set(['taken']))
        const closed = emissions.filter(({ endUs }) => endUs < farUs)
        expect(closed.every(({ revision, retracted }) => revision === 0 && !retracted)).toBe(true)
        const found = closed.map(({ id, startUs, endUs, numbers }) => ({ id, startUs, endUs, numbers }))
        expect(found.toSorted(byId)).toEqual(windowsByOracle(kind, sent).toSorted(byId))
        expect(run({ latenessUs, keepForUs: 0 }, sent, settles).emissions.toSorted(byId)).toEqual(
          emissions.toSorted(byId),
        )
      }),
      { numRuns: 80 },
    )
  })

  test('with readings later than that, the highest revisions hold all that was taken', () => {
    fc.assert(
      fc.property(heldUp(60), cuts, fc.integer({ min: 0, max: 20 }), ({ arrived }, settles, latenessUs) => {
        const { emissions, taken } = run({ latenessUs, keepForUs: 4000 }, arrived, settles)
        const held = arrived.filter((_, i) => taken[i] === 'taken' || taken[i] === 'late')
        if (kind.kind !== 'count') expect(held.length).toBe(arrived.length)
        expect(windowsOf(standing(emissions)).toSorted(byId)).toEqual(windowsByOracle(kind, held).toSorted(byId))
      }),
      { numRuns: 80 },
    )
  })

  test('readings that are too late change no window that was final, and are in all others', () => {
    fc.assert(
      fc.property(heldUp(60), cuts, fc.nat(10), fc.nat(15), ({ arrived }, settles, latenessUs, keepForUs) => {
        const { emissions, taken } = run({ latenessUs, keepForUs }, arrived, settles)
        const found = windowsOf(standing(emissions)).toSorted(byId)
        const kept = arrived.filter((_, i) => taken[i] !== 'too-late')
        const expected =
          kind.kind === 'session' || kind.kind === 'count'
            ? windowsByOracle(kind, kept)
            : windowsBeforeFinal(kind, arrived, latenessUs + keepForUs)
        expect(found).toEqual(expected.toSorted(byId))
      }),
      { numRuns: 150 },
    )
  })

  test('where `settle` is called changes neither what a revision holds nor what stands in the end', () => {
    fc.assert(
      fc.property(
        heldUp(60),
        fc.nat(20),
        fc.nat(30),
        cuts,
        cuts,
        ({ arrived }, latenessUs, keepForUs, settles, others) => {
          const options = { latenessUs, keepForUs }
          const [a, b] = [run(options, arrived, settles), run(options, arrived, others)]
          expect(b.taken).toEqual(a.taken)
          expect([...standing(b.emissions)].toSorted()).toEqual([...standing(a.emissions)].toSorted())
          standing([...a.emissions, ...b.emissions])
        },
      ),
      { numRuns: 150 },
    )
  })

  test('series that share memory do not feel each other', () => {
    fc.assert(
      fc.property(fc.array(heldUp(40), { minLength: 3, maxLength: 3 }), cuts, (sets, settles) => {
        const options = { ...kind, latenessUs: 5, keepForUs: 25, sketchBuckets: 8 }
        const together = recorder(kind.kind)
        const shared = createWindows(options, together.emit)
        for (let series = 0; series < sets.length; series++) shared.open()
        for (let i = 0; i < 40; i++) {
          for (const [series, { arrived }] of sets.entries()) {
            const reading = arrived[i]
            if (reading) shared.add(series, reading.tsUs, reading.order, reading.value)
          }
          if (settles[i % settles.length]) shared.settle()
        }
        shared.settle()
        for (const [series, { arrived }] of sets.entries()) {
          const alone = recorder(kind.kind)
          const windows = createWindows(options, alone.emit)
          windows.open()
          feed(windows, arrived, settles)
          const found = together.emissions.filter(emission => emission.series === series)
          expect(found.map(emission => ({ ...emission, series: 0, id: emission.id.replace(/^\d/, '0') }))).toEqual(
            alone.emissions,
          )
        }
      }),
      { numRuns: 50 },
    )
  })

  test('restored from a record anywhere, the readings since then give the same emissions and the same record', () => {
    fc.assert(
      fc.property(heldUp(40), cuts, fc.nat(40), ({ arrived }, settles, at) => {
        const cut = Math.min(at, arrived.length)
        const options = { ...kind, latenessUs: 5, keepForUs: 25, sketchBuckets: 8 }
        const before = recorder(kind.kind)
        const killed = createWindows(options, before.emit)
        killed.open()
        feed(killed, arrived.slice(0, cut), settles)
        const record = killed.record(0)
        const emitted = before.emissions.length

        const after = recorder(kind.kind)
        const restored = createWindows(options, after.emit)
        restored.open()
        expect(restored.restore(0, record)).toBe(true)
        expect(restored.record(0)).toEqual(record)
        const rest = arrived.slice(cut)
        expect(feed(restored, rest, settles, cut)).toEqual(feed(killed, rest, settles, cut))
        expect(restored.record(0)).toEqual(killed.record(0))
        for (const windows of [restored, killed]) end(windows)
        expect(after.emissions).toEqual(before.emissions.slice(emitted))
      }),
      { numRuns: 80 },
    )
  })
})
