import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isTributaryError } from '../errors.ts'
import { Quality, type Value } from '../reading.ts'
import { fixed } from '../window/test-oracle.ts'
import { tame, wild } from '../window/test-values.ts'
import { type Decision, decide } from './decide.ts'
import { checkPolicy, type ReducePolicy } from './policy.ts'
import { decodeState, encodeState, freshState, type KeptReading } from './state.ts'

const value: fc.Arbitrary<Value> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -20, max: 20 }).map(i => i / 10) },
  { weight: 2, arbitrary: tame },
  { weight: 1, arbitrary: wild },
  { weight: 1, arbitrary: fc.constantFrom<Value>(Number.NaN, Number.POSITIVE_INFINITY, true, false, '', 'on') },
)
const quality = fc.constantFrom(Quality.good, Quality.good, Quality.good, Quality.bad)
const ordered: fc.Arbitrary<KeptReading[]> = fc
  .array(fc.record({ step: fc.nat(9), value, quality }), { minLength: 1, maxLength: 60 })
  .map(steps => {
    let tsUs = 0
    return steps.map(({ step, value, quality }) => {
      tsUs += step
      return { tsUs, value, quality }
    })
  })

const policies: readonly ReducePolicy[] = [
  { kind: 'deadband', band: 0.3 },
  { kind: 'deadband', band: 0, heartbeatUs: 20 },
  { kind: 'percent-deadband', percent: 12.5, heartbeatUs: 7 },
  { kind: 'report-on-change', heartbeatUs: 15 },
  { kind: 'report-on-change' },
  { kind: 'every-nth', n: 3 },
  { kind: 'min-interval', intervalUs: 12 },
]

function decideAll(policy: ReducePolicy, readings: readonly KeptReading[], state = freshState()): Decision[] {
  return readings.map(reading => decide(policy, state, reading.tsUs, reading.value, reading.quality))
}

/** Each reading with the one that a receiver holds at that moment. */
function held(readings: readonly KeptReading[], decisions: readonly Decision[]): [KeptReading, KeptReading][] {
  let last = readings[0]!
  return readings.map((reading, i) => {
    if (decisions[i] === 'keep') last = reading
    return [reading, last]
  })
}

test.each([0, 0.1, 0.3, 1e-300, 5])('with a deadband of %d the held signal is never off by more, exactly', band => {
  fc.assert(
    fc.property(ordered, readings => {
      const decisions = decideAll({ kind: 'deadband', band }, readings)
      for (const [reading, last] of held(readings, decisions)) {
        expect(reading.quality).toBe(last.quality)
        const [a, b] = [reading.value, last.value]
        if (Object.is(a, b)) continue
        if (!Number.isFinite(a) || !Number.isFinite(b)) throw new Error(`${a} is held as ${b}`)
        const off = fixed(a as number) - fixed(b as number)
        expect((off < 0n ? -off : off) <= fixed(band)).toBe(true)
      }
    }),
    { numRuns: 300 },
  )
})

test('a deadband suppresses all that it may: what is kept was off by more, of another quality, or a heartbeat', () => {
  fc.assert(
    fc.property(ordered, readings => {
      const band = 0.3
      const decisions = decideAll({ kind: 'deadband', band }, readings)
      const before = held(readings, decisions).map(([, last]) => last)
      for (let i = 1; i < readings.length; i++) {
        const [a, b] = [readings[i]!.value, before[i - 1]!.value]
        if (decisions[i] === 'suppress' || readings[i]!.quality !== before[i - 1]!.quality) continue
        if (!Number.isFinite(a) || !Number.isFinite(b)) continue
        const off = fixed(a as number) - fixed(b as number)
        expect((off < 0n ? -off : off) > fixed(band)).toBe(true)
      }
    }),
  )
})

test('a percentage is of the magnitude last kept', () => {
  const policy: ReducePolicy = { kind: 'percent-deadband', percent: 10 }
  const at = (values: readonly number[]): Decision[] =>
    decideAll(
      policy,
      values.map((value, i) => ({ tsUs: i, value, quality: Quality.good })),
    )
  expect(at([100, 110, 90, 110.1, 100, 99])).toEqual(['keep', 'suppress', 'suppress', 'keep', 'suppress', 'keep'])
  expect(at([-100, -109, -111])).toEqual(['keep', 'suppress', 'keep'])
  expect(at([0, 0, -0, 1e-300])).toEqual(['keep', 'suppress', 'suppress', 'keep'])
})

test('report-on-change loses no change: the held signal is the same at every reading', () => {
  fc.assert(
    fc.property(ordered, readings => {
      const decisions = decideAll({ kind: 'report-on-change' }, readings)
      for (const [reading, last] of held(readings, decisions)) {
        expect([reading.value, reading.quality].join()).toBe([last.value, last.quality].join())
      }
    }),
  )
})

test.each(policies.filter(policy => 'heartbeatUs' in policy))(
  'no suppressed reading is a heartbeat or more behind: %j',
  policy => {
    fc.assert(
      fc.property(ordered, readings => {
        for (const [reading, last] of held(readings, decideAll(policy, readings))) {
          expect(reading.tsUs - last.tsUs).toBeLessThan((policy as { heartbeatUs: number }).heartbeatUs)
        }
      }),
    )
  },
)

test('a heartbeat comes at its time, not a microsecond before', () => {
  const policy: ReducePolicy = { kind: 'report-on-change', heartbeatUs: 10 }
  const readings = [0, 9, 10, 19, 20].map(tsUs => ({ tsUs, value: 1, quality: Quality.good }))
  expect(decideAll(policy, readings)).toEqual(['keep', 'suppress', 'keep', 'suppress', 'keep'])
})

test('samplings keep one of n, and readings at least the interval apart', () => {
  fc.assert(
    fc.property(ordered, fc.integer({ min: 1, max: 7 }), (readings, k) => {
      const nth = decideAll({ kind: 'every-nth', n: k }, readings)
      expect(nth.filter(decision => decision === 'keep').length).toBe(Math.ceil(readings.length / k))
      const spaced = decideAll({ kind: 'min-interval', intervalUs: k }, readings)
      const times = readings.filter((_, i) => spaced[i] === 'keep').map(reading => reading.tsUs)
      for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(k)
    }),
  )
})

test('a reading from before the last one kept is kept, and moves neither value nor heartbeat', () => {
  const policy: ReducePolicy = { kind: 'deadband', band: 1, heartbeatUs: 100 }
  const readings = [
    [50, 0],
    [40, 0],
    [60, 0.5],
    [149, 1],
    [150, 1],
  ].map(([tsUs, value]) => ({ tsUs: tsUs!, value: value!, quality: Quality.good }))
  expect(decideAll(policy, readings)).toEqual(['keep', 'keep', 'suppress', 'suppress', 'keep'])
})

describe.each(policies)('%j', policy => {
  test('after a restart anywhere the decisions are the same', () => {
    fc.assert(
      fc.property(ordered, fc.nat(60), (readings, at) => {
        const state = freshState()
        const before = decideAll(policy, readings.slice(0, at), state)
        const bytes = encodeState(state)
        const restored = decodeState(bytes)
        expect(encodeState(restored)).toEqual(bytes)
        const after = decideAll(policy, readings.slice(at), restored)
        expect([...before, ...after]).toEqual(decideAll(policy, readings))
      }),
    )
  })

  test('the policy is accepted', () => {
    expect(checkPolicy(policy)).toBe(policy)
  })
})

test('the bytes of a state never change', () => {
  const hex = (kept: KeptReading | null, seen = 0): string => Buffer.from(encodeState({ seen, kept })).toString('hex')
  expect(hex(null, 300)).toBe('01ac0200')
  expect(hex({ tsUs: 5, value: -0, quality: Quality.bad })).toBe('0100010a020000000000000080')
  expect(hex({ tsUs: -1, value: true, quality: Quality.good })).toBe('0100030100')
  expect(hex({ tsUs: 0, value: 'ü', quality: Quality.uncertain })).toBe('010004000102c3bc')
})

test('bytes that are no state are refused', () => {
  const good = encodeState({ seen: 1, kept: { tsUs: 5, value: 'on', quality: Quality.good } })
  const bad = [...Array(good.length).keys()].map(length => good.subarray(0, length))
  for (const bytes of [
    ...bad,
    Uint8Array.of(...good, 0),
    Uint8Array.of(2, 0, 0),
    Uint8Array.of(1, 0, 5, 0, 0),
    Uint8Array.of(1, 0, 2, 0, 3),
  ]) {
    expect(() => decodeState(bytes)).toThrow(expect.toSatisfy((error: unknown) => isTributaryError(error, 'malformed')))
  }
})

test.each<ReducePolicy>([
  { kind: 'deadband', band: -1 },
  { kind: 'deadband', band: Number.NaN },
  { kind: 'percent-deadband', percent: Number.POSITIVE_INFINITY },
  { kind: 'every-nth', n: 0 },
  { kind: 'every-nth', n: 1.5 },
  { kind: 'min-interval', intervalUs: 0 },
  { kind: 'report-on-change', heartbeatUs: 0 },
])('a policy that cannot be followed is refused: %j', policy => {
  expect(() => checkPolicy(policy)).toThrow(expect.toSatisfy((error: unknown) => isTributaryError(error, 'config')))
})
