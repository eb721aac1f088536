import { describe, expect, it } from 'vitest'
import { createRandom } from './random.ts'

const draw = (seed: string, label: string, n = 5) => {
  const random = createRandom(seed, label)
  return Array.from({ length: n }, () => random.uniform())
}

describe('seeded randomness', () => {
  it('a seed and a label name one stream, the same on every run', () => {
    expect(draw('1', 'a')).toEqual(draw('1', 'a'))
    expect(draw('1', 'a', 3)).toEqual([0.7455625399015844, 0.48011613613925874, 0.23665024316869676])
  })

  it('other seeds and other labels give other streams', () => {
    const first = ['1', '2', '10'].flatMap(seed => ['', 'a', 'b', 'aa'].map(label => draw(seed, label, 1)[0]))
    expect(new Set(first).size).toBe(first.length)
  })

  it('uniform numbers fill [0, 1) evenly', () => {
    const values = draw('u', '', 20_000)
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...values)).toBeLessThan(1)
    const tenths = Array.from({ length: 10 }, (_, i) => values.filter(v => Math.floor(v * 10) === i).length)
    for (const count of tenths) expect(count).toBeGreaterThan(1800)
  })

  it('normal numbers have mean 0 and deviation 1', () => {
    const random = createRandom('n')
    const values = Array.from({ length: 20_000 }, () => random.normal())
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length
    expect(mean).toBeCloseTo(0, 1)
    expect(variance).toBeCloseTo(1, 1)
  })

  it('whole numbers reach both ends', () => {
    const random = createRandom('i')
    expect(new Set(Array.from({ length: 200 }, () => random.integer(3, 6)))).toEqual(new Set([3, 4, 5, 6]))
  })
})
