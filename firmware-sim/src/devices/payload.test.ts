import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Emission } from '../signals/emission.ts'
import { checkName, formatEmission } from './payload.ts'

const emission: Emission = {
  device: 'machine-001',
  tsUs: 1_700_000_000_000_000,
  seq: 12,
  readings: [
    { metric: 'power', unit: 'kW', value: 7.5 },
    { metric: 'running', unit: '', value: true },
  ],
}
const texts = (dialect: 'metric' | 'device' | 'line', e = emission) =>
  formatEmission(e, dialect).map(m => `${m.topic} ${Buffer.from(m.payload)}`.trim())

describe('payloads', () => {
  it('one message a metric', () => {
    expect(texts('metric')).toEqual([
      'sensors/machine-001/power {"value":7.5,"unit":"kW","ts":1700000000000000,"seq":12}',
      'sensors/machine-001/running {"value":true,"ts":1700000000000000,"seq":12}',
    ])
  })

  it('one message a device', () => {
    expect(texts('device')).toEqual([
      'sensors/machine-001 {"ts":1700000000000000,"seq":12,"power":{"value":7.5,"unit":"kW"},"running":true}',
    ])
  })

  it('one line a device', () => {
    expect(texts('line')).toEqual([
      '{"device":"machine-001","ts":1700000000000000,"seq":12,"power":{"value":7.5,"unit":"kW"},"running":true}',
    ])
  })

  it('every message says which readings it carries', () => {
    const readings = formatEmission(emission, 'device')[0]?.readings
    expect(readings).toEqual([
      { device: 'machine-001', metric: 'power', tsUs: emission.tsUs, value: 7.5 },
      { device: 'machine-001', metric: 'running', tsUs: emission.tsUs, value: true },
    ])
    const garbage = formatEmission({ ...emission, garbage: Buffer.from('?') }, 'metric')
    expect(garbage.map(m => [m.readings.length, String(m.payload)])).toEqual([
      [0, '?'],
      [0, '?'],
    ])
  })

  it('numbers come back bit for bit', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
        const e = { ...emission, readings: [{ metric: 'x', unit: '', value }] }
        return (['metric', 'device', 'line'] as const).every(dialect => {
          const parsed = JSON.parse(Buffer.from(formatEmission(e, dialect)[0]!.payload).toString())
          return Object.is(dialect === 'metric' ? parsed.value : parsed.x, value)
        })
      }),
    )
  })

  it('refuses names that a topic or an object of metrics cannot carry', () => {
    for (const name of ['', 'a/b', 'a+', '#']) expect(() => checkName(name, 'device')).toThrow(/cannot be the name/)
    for (const name of ['ts', 'seq', 'quality', 'device']) {
      expect(() => checkName(name, 'metric')).toThrow(/cannot be the name/)
      expect(() => checkName(name, 'device')).not.toThrow()
    }
  })
})
