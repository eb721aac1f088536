import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { timestampUs } from './timestamp.ts'

const baseS = 1_700_000_000

describe('timestampUs', () => {
  it('reads the unit of a number from its magnitude', () => {
    expect(timestampUs(baseS)).toBe(baseS * 1e6)
    expect(timestampUs(baseS + 0.000_001)).toBe(baseS * 1e6 + 1)
    expect(timestampUs(baseS * 1e3)).toBe(baseS * 1e6)
    expect(timestampUs(baseS * 1e6 + 7)).toBe(baseS * 1e6 + 7)
    expect(timestampUs(baseS * 1e9)).toBe(baseS * 1e6)
    expect(timestampUs(0)).toBe(0)
    expect([9_000_000_000, 1e11, 9_000_000_000_000, 1e14, 9e15].map(timestampUs)).toEqual([
      9e15, 1e14, 9e15, 1e14, 9e15,
    ])
  })

  it('reads ISO 8601 with a zone, and without one as UTC', () => {
    const us = Date.UTC(2026, 1, 28, 12, 30, 15) * 1000
    for (const text of [
      '2026-02-28T12:30:15Z',
      '2026-02-28 12:30:15',
      '2026-02-28T14:30:15+02:00',
      '2026-02-28T07:00:15-0530',
    ])
      expect(timestampUs(text)).toBe(us)
    expect(timestampUs('2026-02-28T12:30Z')).toBe(us - 15e6)
    expect(timestampUs('2016-12-31T23:59:60Z')).toBe(Date.UTC(2017, 0, 1) * 1000)
  })

  it('keeps microseconds and cuts what is finer', () => {
    const us = Date.UTC(2026, 0, 1) * 1000
    expect(timestampUs('2026-01-01T00:00:00.123456Z')).toBe(us + 123_456)
    expect(timestampUs('2026-01-01T00:00:00.1Z')).toBe(us + 100_000)
    expect(timestampUs('2026-01-01T00:00:00,000001Z')).toBe(us + 1)
    expect(timestampUs('2026-01-01T00:00:00.999999999Z')).toBe(us + 999_999)
  })

  it('refuses what is no time', () => {
    for (const text of [
      '',
      '2026',
      '2026-02-30T00:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:60:00Z',
      '2026-01-01T00:00:00+25:00',
      '1700000000',
      'now',
    ]) {
      expect(timestampUs(text)).toBeNull()
    }
    for (const value of [true, null, undefined, {}, [], Number.NaN, Number.POSITIVE_INFINITY, 1e300])
      expect(timestampUs(value)).toBeNull()
  })

  it('every instant of this century comes back from its ISO text and from µs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 946_684_800_000, max: 4_102_444_800_000 }),
        fc.integer({ min: 0, max: 999 }),
        (ms, us) => {
          const text = new Date(ms).toISOString().replace('Z', `${String(us).padStart(3, '0')}Z`)
          expect(timestampUs(text)).toBe(ms * 1000 + us)
          expect(timestampUs(ms * 1000 + us)).toBe(ms * 1000 + us)
        },
      ),
      { numRuns: 300 },
    )
  })
})
