import { describe, expect, it } from 'vitest'
import { faultKinds } from '../faults/fault.ts'
import { createFleet, type FleetOptions } from './fleet.ts'

const startUs = Date.UTC(2026, 0, 1) * 1000
const fleet = (options: Partial<FleetOptions> = {}) => [
  ...createFleet({ seed: '1', devices: 4, rateHz: 2, startUs, count: 400, ...options }),
]

describe('a fleet', () => {
  it('the same seed and start give the same emissions, another seed others', () => {
    expect(fleet()).toEqual(fleet())
    expect(fleet({ seed: '2' })).not.toEqual(fleet())
  })

  it('the same with faults, and the same truth', () => {
    const run = () => {
      const truth: unknown[] = []
      const faults = faultKinds.map(kind => ({ kind, rate: 0.02, devicePrefix: '' }))
      return { emissions: fleet({ faults, truth: episode => truth.push(episode) }), truth }
    }
    expect(run()).toEqual(run())
    expect(run().truth.length).toBeGreaterThan(10)
  })

  it('a later start moves the times and nothing of the devices', () => {
    const moved = fleet({ startUs: startUs + 1e6 })
    expect(moved.map(e => [e.device, e.seq, e.tsUs - 1e6])).toEqual(fleet().map(e => [e.device, e.seq, e.tsUs]))
  })

  it('each device speaks at its rate and counts from 0; the fleet speaks in the order of time', () => {
    const emissions = fleet()
    for (const [i, e] of emissions.entries()) if (i > 0) expect(e.tsUs).toBeGreaterThanOrEqual(emissions[i - 1]!.tsUs)
    const one = emissions.filter(e => e.device === 'machine-001')
    expect(one.map(e => e.seq)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(one[99]!.tsUs - one[0]!.tsUs).toBe(99 * 500_000)
    expect(new Set(emissions.map(e => e.device)).size).toBe(4)
  })

  it('a device keeps its values when others join', () => {
    const values = (devices: number) =>
      fleet({ devices, count: devices * 50 })
        .filter(e => e.device === 'machine-002')
        .map(e => e.readings)
    expect(values(2)).toEqual(values(9))
  })

  it('ends before the end time, and reports only the metrics asked for', () => {
    const emissions = fleet({ endUs: startUs + 10e6, count: 1_000_000, metrics: ['power', 'running'] })
    expect(emissions).toHaveLength(4 * 2 * 10)
    expect(Math.max(...emissions.map(e => e.tsUs))).toBeLessThan(startUs + 10e6)
    expect(emissions[0]!.readings.map(r => r.metric)).toEqual(['power', 'running'])
  })
})
