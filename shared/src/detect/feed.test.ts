import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { feed } from './feed.ts'
import { lite } from './lite.ts'
import { allocate, bytesPerSlot, createShard, type Shard } from './shard.ts'

const minuteUs = 60e6

/** mulberry32: the same series in every run. */
function random(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A daily wave with noise, a few spikes and a level shift. */
function wavySeries(length: number, seed: number): number[] {
  const next = random(seed)
  return Array.from({ length }, (_, i) => {
    const spike = next() < 0.002 ? 30 * next() : 0
    const level = i > length * 0.7 ? 4 : 0
    return 20 + 5 * Math.sin(i / 60) + next() + next() + spike + level
  })
}

/** The formulas once more, the slow and obvious way: an object a stream, doubles, eager decay, no gate. */
class PlainStream {
  counts = new Array<number>(96).fill(0)
  origin: number | null = null
  seen = 0

  score(e: number): { s: number; c: number } {
    if (e > 0 && this.origin === null) this.origin = Math.log2(e)
    const p = e > 0 ? 8 * (Math.log2(e) - (this.origin ?? 0)) + 57.6 : 0
    let s = 0
    let c = 0
    if (this.seen >= 50 && e > 0) {
      const total = this.counts.reduce((a, b) => a + b, 0)
      c = this.counts.reduce((sum, h, j) => sum + h * Math.min(1, Math.max(0, (j + 0.5 - (p - 1.216)) / 1.216)), 0)
      s = Math.log10(Math.sqrt(total + 1) / (c + 0.5))
      const top = this.counts.findLastIndex(h => h >= 0.25)
      if (p > top + 1) s += ((10 * (p - top - 1)) / 8) * 0.301
    }
    this.counts = this.counts.map(h => h * 2 ** (-1 / 8000))
    let bin = Math.max(0, Math.floor(p))
    if (bin > 95) {
      const shift = bin - 87
      const moved = new Array<number>(96).fill(0)
      this.counts.forEach((h, j) => {
        moved[Math.max(0, j - shift)]! += h
      })
      this.counts = moved
      this.origin = (this.origin ?? 0) + shift / 8
      bin = 87
    }
    this.counts[bin]! += 1
    this.seen++
    return { s: Math.max(0, s), c }
  }
}

class PlainLite {
  n = 0
  m = 0
  mad = 0
  ab = 0
  slowR = 0
  fastG = 0
  slowG = 0
  lastG = 0
  fastA = 0
  slowA = 0
  streams = [new PlainStream(), new PlainStream(), new PlainStream(), new PlainStream()]

  feed(x: number): { surprise: number; stream: number; c: number } {
    const g = Math.max(0.001, 1 / (this.n + 1))
    this.m += g * (x - this.m)
    this.mad += g * (Math.abs(x - this.m) - this.mad)
    this.ab += g * (Math.abs(x) - this.ab)
    const viewG = Math.sign(x) * Math.log1p(Math.abs(x) / (0.1 * this.ab + 1e-12))
    const viewA = Math.asinh((x - this.m) / (0.5 * this.mad + 1e-9))
    const fast = (f: number, length: number, y: number) => (this.n === 0 ? y : f + (2 / (length + 1)) * (y - f))
    const slow = (s: number, length: number, y: number) => s + Math.max(2 / (length + 1), 1 / (this.n + 1)) * (y - s)
    this.fastG = fast(this.fastG, 40, viewG)
    this.fastA = fast(this.fastA, 10, viewA)
    const residuals = [x - this.slowR, this.fastG - this.slowG, viewG - this.lastG, this.fastA - this.slowA]
    const best = { surprise: 0, stream: -1, c: 0 }
    if (this.n > 0) {
      residuals.forEach((e, i) => {
        const { s, c } = this.streams[i]!.score(Math.abs(e))
        if (s > best.surprise) Object.assign(best, { surprise: s, stream: i, c })
      })
    }
    this.slowR = slow(this.slowR, 100, x)
    this.slowG = slow(this.slowG, 400, viewG)
    this.slowA = slow(this.slowA, 400, viewA)
    this.lastG = viewG
    this.n++
    return best
  }
}

function surprises(values: readonly number[], shard: Shard = createShard(lite, 1)): number[] {
  const slot = allocate(shard)
  return values.map((value, i) => feed(shard, slot, i * minuteUs, value).surprise)
}

describe('lite', () => {
  test('agrees with a plain implementation wherever a surprise can matter', () => {
    const anyValue = fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: -1000, max: 1000 }).map(tenths => tenths / 10) },
      { weight: 1, arbitrary: fc.constantFrom(0, 1e-6, -1e6, 5e12) },
    )
    const steps = fc.array(fc.tuple(anyValue, fc.integer({ min: 1, max: 40 })), { minLength: 60, maxLength: 160 })
    fc.assert(
      fc.property(steps, fc.integer(), (runs, seed) => {
        const noise = random(seed)
        const values = runs.flatMap(([level, length]) => Array.from({ length }, () => level * (1 + 0.1 * noise())))
        const shard = createShard(lite, 1)
        const slot = allocate(shard)
        const plain = new PlainLite()
        values.forEach((value, i) => {
          const found = feed(shard, slot, i * minuteUs, value)
          const expected = plain.feed(value)
          // Below 0.6 the gate may answer 0. Positions near a bin's edge round to either side: hence the tolerance.
          if (Math.max(found.surprise, expected.surprise) < 0.6) return
          expect(Math.abs(found.surprise - expected.surprise)).toBeLessThan(1e-3 * (1 + expected.surprise))
        })
      }),
      { numRuns: 20 },
    )
  })

  test('agrees with a plain implementation over 60,000 readings, stream and count included', () => {
    const shard = createShard(lite, 1)
    const slot = allocate(shard)
    const plain = new PlainLite()
    let compared = 0
    wavySeries(60_000, 7).forEach((value, i) => {
      const found = feed(shard, slot, i * minuteUs, value)
      const expected = plain.feed(value)
      if (Math.max(found.surprise, expected.surprise) < 0.6) return
      compared++
      expect(found.surprise).toBeCloseTo(expected.surprise, 4)
      expect(found.stream).toBe(expected.stream)
      expect(found.seenBefore).toBeCloseTo(expected.c, 3)
    })
    expect(compared).toBeGreaterThan(100)
  })

  test('a spike in a calm series is critical, is named, and was seen 0 times before', () => {
    const shard = createShard(lite, 1)
    const slot = allocate(shard)
    const next = random(3)
    for (let i = 0; i < 2000; i++) feed(shard, slot, i * minuteUs, 20 + next())
    const found = feed(shard, slot, 2000 * minuteUs, 60)
    expect(found.surprise).toBeGreaterThan(2.5)
    expect(found.score).toBeGreaterThan(0.997)
    expect(found.seenBefore).toBeLessThan(0.5)
    expect(found.expected).toBeGreaterThan(15)
    expect(found.expected).toBeLessThan(25)
  })

  test('a jump that comes every day stops being surprising', () => {
    const shard = createShard(lite, 1)
    const slot = allocate(shard)
    const next = random(5)
    const jumps: number[] = []
    for (let i = 0; i < 30 * 288; i++) {
      const found = feed(shard, slot, i * 5 * minuteUs, next() + (i % 288 === 100 ? 25 : 0))
      if (i % 288 === 100) jumps.push(found.surprise)
    }
    expect(jumps[0]).toBeGreaterThan(2.5)
    const later = jumps.slice(15).toSorted((a, b) => a - b)
    expect(later[7]).toBeLessThan(0.9)
  })

  test.each([1e-3, 1e3, -1])('a series in another unit (× %s) surprises alike', factor => {
    const values = wavySeries(4000, 11)
    const original = surprises(values)
    const scaled = surprises(values.map(value => value * factor))
    for (let i = 0; i < values.length; i++) expect(scaled[i]).toBeCloseTo(original[i]!, 2)
  })

  test('the first 50 residuals score nothing; learning ends after 200 readings and 24 hours', () => {
    const shard = createShard(lite, 1)
    const slot = allocate(shard)
    const next = random(2)
    for (let i = 0; i <= 50; i++) {
      expect(feed(shard, slot, i * minuteUs, i % 7 === 0 ? 1000 * next() : next()).surprise).toBe(0)
    }
    for (let i = 51; i < 1440; i++) expect(feed(shard, slot, i * minuteUs, next()).learning).toBe(true)
    expect(feed(shard, slot, 1440 * minuteUs, next()).learning).toBe(false)

    const slow = allocate(shard)
    for (let i = 0; i < 200; i++) expect(feed(shard, slow, i * 60 * minuteUs, next()).learning).toBe(true)
    expect(feed(shard, slow, 200 * 60 * minuteUs, next()).learning).toBe(false)
  })

  test('only escalation passes the cool-down until 12 hours and 20 readings have gone by', () => {
    const shard = createShard(lite, 1)
    const slot = allocate(shard)
    const next = random(9)
    let ts = 0
    const one = (value: number) => {
      ts += minuteUs
      return { ...feed(shard, slot, ts, value) }
    }
    for (let i = 0; i < 3000; i++) one(20 + next())
    const first = one(40)
    expect(first.alert).toBe(first.surprise)
    for (let i = 0; i < 60; i++) one(20 + next())
    const lesser = one(38)
    expect(lesser.surprise).toBeGreaterThan(0)
    expect(lesser.alert).toBe(0)
    expect(lesser.bar).toBe(first.surprise)
    const higher = one(4000)
    expect(higher.alert).toBeGreaterThan(first.alert)
    ts += 12 * 60 * minuteUs
    for (let i = 0; i < 19; i++) expect(one(20 + next()).bar).toBe(higher.alert)
    expect(one(20 + next()).bar).toBe(0)
  })

  test('the largest and smallest doubles leave the state finite', () => {
    const shard = createShard(lite, 1)
    const slot = allocate(shard)
    const extremes = [Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, -0, 0, 1]
    for (let i = 0; i < 600; i++) {
      const found = feed(shard, slot, i * minuteUs, extremes[(i * i) % extremes.length]!)
      expect(Number.isFinite(found.surprise)).toBe(true)
    }
    expect(shard.scalars.every(Number.isFinite)).toBe(true)
    expect(shard.histograms.every(Number.isFinite)).toBe(true)
  })

  test('series in one shard do not touch each other, also while it grows', () => {
    const values = [wavySeries(900, 1), wavySeries(900, 2), wavySeries(900, 3)]
    const alone = values.map(series => surprises(series))
    const shard = createShard(lite, 1)
    const slots = values.map(() => allocate(shard))
    const together = values.map(() => [] as number[])
    for (let i = 0; i < 900; i++) {
      if (i === 300) for (let k = 0; k < 40; k++) allocate(shard)
      values.forEach((series, k) => {
        together[k]!.push(feed(shard, slots[k]!, i * minuteUs, series[i]!).surprise)
      })
    }
    expect(together).toEqual(alone)
  })

  test('a series takes at most 2 KB', () => {
    expect(bytesPerSlot(createShard(lite).layout)).toBeLessThanOrEqual(2048)
  })
})
