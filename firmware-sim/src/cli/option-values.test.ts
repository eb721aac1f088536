import { describe, expect, it } from 'vitest'
import * as option from './option-values.ts'

describe('option values', () => {
  it('numbers within their bounds, both ends included', () => {
    for (const rate of ['1', '10', '2.5', '1e1'])
      expect(option.numberOption({ rate }, 'rate', 1, 10)).toBe(Number(rate))
    for (const rate of ['0.9', '11', '', 'x', undefined])
      expect(() => option.numberOption({ rate }, 'rate', 1, 10)).toThrow(/--rate/)
    expect(() => option.wholeOption({ n: '2.5' }, 'n', 1, 10)).toThrow(/--n/)
  })

  it('durations', () => {
    expect(['500ms', '40s', '1.5m', '2h'].map(t => option.durationOption({ t }, 't'))).toEqual([
      500, 40_000, 90_000, 7_200_000,
    ])
    expect(option.durationOption({}, 't')).toBeUndefined()
    for (const t of ['', '40', 's', '-1s']) expect(() => option.durationOption({ t }, 't')).toThrow(/--t/)
  })

  it('speeds', () => {
    expect(['max', '0.5', '300'].map(speed => option.speedOption({ speed }))).toEqual([
      Number.POSITIVE_INFINITY,
      0.5,
      300,
    ])
    for (const speed of ['0', '-1', '', 'fast']) expect(() => option.speedOption({ speed })).toThrow(/--speed/)
  })

  it('faults with rates and devices', () => {
    expect(option.faultsOption({})).toEqual([])
    expect(option.faultsOption({ faults: 'spike=0.01, out-of-order=1@machine-002' })).toEqual([
      { kind: 'spike', rate: 0.01, devicePrefix: '' },
      { kind: 'out-of-order', rate: 1, devicePrefix: 'machine-002' },
    ])
    for (const faults of ['', 'spike', 'spik=0.1', 'spike=2', 'spike=-1', 'spike=.', 'spike=0.1@'])
      expect(() => option.faultsOption({ faults })).toThrow(/--faults/)
  })

  it('times', () => {
    expect(option.timeOption({ start: '2026-01-31T12:00:00Z' }, 'start')).toBe(Date.UTC(2026, 0, 31, 12) * 1000)
    expect(() => option.timeOption({ start: 'tomorrow' }, 'start')).toThrow(/--start/)
  })
})
