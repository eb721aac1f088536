import { describe, expect, it } from 'vitest'
import type { Emission } from '../signals/emission.ts'
import { createFaults, type FaultEpisode, type FaultKind, type FaultRule, faultKinds } from './fault.ts'

const clean = Array.from(
  { length: 2000 },
  (_, i): Emission => ({
    device: 'm1',
    tsUs: i * 1000,
    seq: i,
    readings: [
      { metric: 't', unit: '', value: 20 + Math.sin(i / 10) },
      { metric: 'on', unit: '', value: true },
    ],
  }),
)

function run(rules: FaultRule[], seed = '1', input: readonly Emission[] = clean) {
  const truth: FaultEpisode[] = []
  const faults = createFaults(rules, 'm1', seed, episode => truth.push(episode))
  const output = [...input.flatMap(e => faults.apply(e)), ...faults.end()]
  return { output, truth }
}

const rule = (kind: FaultKind, rate: number, devicePrefix = ''): FaultRule => ({ kind, rate, devicePrefix })
const valueAt = (emissions: readonly Emission[], seq: number) =>
  Number(emissions.find(e => e.seq === seq)?.readings[0]?.value)
/** Sequence numbers that an episode covers. */
const covered = (truth: readonly FaultEpisode[]) =>
  new Set(
    truth.flatMap(({ fromUs, toUs }) =>
      Array.from({ length: (toUs - fromUs) / 1000 + 1 }, (_, i) => fromUs / 1000 + i),
    ),
  )

describe('faults of the sensor', () => {
  it.each(['spike', 'step', 'stuck', 'drift'] as const)(
    '%s: changes exactly the readings that the truth names',
    kind => {
      const { output, truth } = run([rule(kind, 0.01)])
      const changed = clean.filter(e => valueAt(output, e.seq) !== e.readings[0]?.value).map(e => e.seq)
      expect(truth.length).toBeGreaterThan(5)
      expect(truth.every(e => e.fault === kind && e.device === 'm1' && e.metric === 't')).toBe(true)
      expect(new Set(changed)).toEqual(covered(truth))
      expect(output.map(e => e.readings[1]?.value)).toEqual(clean.map(() => true))
    },
  )

  it('a spike lasts one reading and stands far out', () => {
    const { output, truth } = run([rule('spike', 0.01)])
    for (const { fromUs, toUs } of truth) {
      expect(toUs).toBe(fromUs)
      expect(Math.abs(valueAt(output, fromUs / 1000) - 20)).toBeGreaterThan(1.5)
    }
  })

  it('a stuck sensor says its last value again and again', () => {
    const { output, truth } = run([rule('stuck', 0.01)])
    for (const { fromUs, toUs } of truth) {
      const held = Number(clean[fromUs / 1000 - 1]?.readings[0]?.value)
      for (let seq = fromUs / 1000; seq <= toUs / 1000; seq++) expect(valueAt(output, seq)).toBe(held)
    }
  })

  it('a step keeps its distance, a drift grows away', () => {
    const distance = (output: readonly Emission[], seq: number) =>
      valueAt(output, seq) - Number(clean[seq]?.readings[0]?.value)
    const step = run([rule('step', 0.01)])
    for (const { fromUs, toUs } of step.truth)
      expect(distance(step.output, toUs / 1000)).toBeCloseTo(distance(step.output, fromUs / 1000), 5)
    const drift = run([rule('drift', 0.01)])
    for (const { fromUs, toUs } of drift.truth.slice(0, -1))
      expect(Math.abs(distance(drift.output, toUs / 1000))).toBeGreaterThan(
        10 * Math.abs(distance(drift.output, fromUs / 1000)),
      )
  })
})

describe('faults on the way', () => {
  it('a dropout leaves out exactly what the truth names', () => {
    const { output, truth } = run([rule('dropout', 0.01)])
    const missing = clean.filter(e => !output.includes(e)).map(e => e.seq)
    expect(missing.length).toBeGreaterThan(50)
    expect(new Set(missing)).toEqual(covered(truth))
  })

  it('a duplicate comes twice, next to each other, unchanged', () => {
    const { output, truth } = run([rule('duplicate', 0.05)])
    expect(output.length).toBe(clean.length + truth.length)
    for (const { fromUs } of truth) {
      const at = output.findIndex(e => e.tsUs === fromUs)
      expect(output[at + 1]).toBe(output[at])
    }
  })

  it('out of order: everything comes, some of it 1 to 5 places late', () => {
    const { output, truth } = run([rule('out-of-order', 0.05)])
    expect(new Set(output)).toEqual(new Set(clean))
    expect(output).toHaveLength(clean.length)
    expect(truth.length).toBeGreaterThan(20)
    for (const { fromUs } of truth) {
      const late = output.findIndex(e => e.tsUs === fromUs) - fromUs / 1000
      expect(late).toBeGreaterThanOrEqual(0)
      expect(late).toBeLessThanOrEqual(5)
    }
    expect(output.map(e => e.seq)).not.toEqual(clean.map(e => e.seq))
  })

  it('a malformed payload is no JSON and holds no line end', () => {
    const { output, truth } = run([rule('malformed', 0.2)])
    const garbage = output.flatMap(e => e.garbage ?? [])
    expect(garbage).toHaveLength(truth.length)
    expect(garbage.length).toBeGreaterThan(100)
    for (const bytes of garbage) {
      expect(() => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))).toThrow()
      expect(bytes.includes(0x0a) || bytes.includes(0x0d)).toBe(false)
    }
  })

  it('what is held back when the device falls silent still comes', () => {
    const { output } = run([rule('out-of-order', 1)], '1', clean.slice(0, 1))
    expect(output).toEqual(clean.slice(0, 1))
  })
})

describe('a chain of faults', () => {
  const all = faultKinds.map(kind => rule(kind, 0.01))

  it('is the same for the same seed, another for another', () => {
    expect(run(all)).toEqual(run(all))
    expect(run(all, '2').truth).not.toEqual(run(all).truth)
  })

  it('shows every kind', () => {
    expect(new Set(run(all).truth.map(e => e.fault))).toEqual(new Set(faultKinds))
  })

  it('leaves everything alone at rate 0 and for other devices', () => {
    expect(run(faultKinds.map(kind => rule(kind, 0)))).toEqual({ output: clean, truth: [] })
    expect(run(faultKinds.map(kind => rule(kind, 1, 'm2')))).toEqual({ output: clean, truth: [] })
  })

  it('an episode under way at the end is told', () => {
    const { truth } = run([rule('dropout', 1)], '1', clean.slice(0, 3))
    expect(truth).toEqual([{ fault: 'dropout', device: 'm1', metric: null, fromUs: 0, toUs: 2000 }])
  })
})
