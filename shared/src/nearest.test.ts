import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearest } from './nearest.ts'

describe('nearest', () => {
  it('finds the name that was meant', () => {
    expect(nearest('hubb', ['mqtt', 'hub'])).toBe('hub')
    expect(nearest('prot', ['port', 'host'])).toBe('port')
    expect(nearest('allow_subscibe', ['allow_subscribe'])).toBe('allow_subscribe')
  })

  it('is silent when nothing is near', () => {
    expect(nearest('zebra', ['port', 'host'])).toBeNull()
  })

  it('forgives one edit of any kind in any name', () => {
    const name = fc.stringMatching(/^[a-z]{4,12}$/)
    fc.assert(
      fc.property(name, fc.nat(20), (word, n) => {
        const at = n % (word.length - 1)
        const swapped = word.slice(0, at) + word[at + 1] + word[at] + word.slice(at + 2)
        expect(nearest(swapped, [word])).toBe(word)
        expect(nearest(word.slice(0, at) + word.slice(at + 1), [word])).toBe(word)
        expect(nearest(`${word.slice(0, at)}q${word.slice(at)}`, [word])).toBe(word)
      }),
      { numRuns: 200 },
    )
  })
})
