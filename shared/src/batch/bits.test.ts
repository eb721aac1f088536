import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BitWriter, maxFixedWidth, maxRiceK, readFixed, readRice } from './bits.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'

/** Whole numbers below 2^53 of every length in bits. */
const whole = fc.oneof(
  fc.maxSafeNat(),
  fc.tuple(fc.maxSafeNat(), fc.integer({ min: 0, max: 53 })).map(([z, shift]) => Math.floor(z / 2 ** shift)),
)

function written(write: (bits: BitWriter) => void): ByteReader {
  const out = new ByteWriter(1)
  const bits = new BitWriter(out)
  write(bits)
  bits.flush()
  return new ByteReader(out.bytes())
}

test('Rice codes of any parameter give their values back, escapes included', () => {
  fc.assert(
    fc.property(fc.array(whole, { maxLength: 40 }), fc.integer({ min: 0, max: maxRiceK }), (zs, k) => {
      const source = written(bits => {
        for (const z of zs) bits.rice(z, k)
      })
      const out = new Float64Array(zs.length)
      readRice(source, out, 0, k)
      expect([...out]).toEqual(zs.map(z => (z % 2 === 0 ? z / 2 : -(z + 1) / 2)))
      expect(source.remaining).toBe(0)
    }),
    { numRuns: 500 },
  )
})

test('values of any fixed width come back', () => {
  fc.assert(
    fc.property(fc.array(whole, { maxLength: 40 }), fc.integer({ min: 0, max: maxFixedWidth }), (zs, width) => {
      const values = zs.map(z => z % 2 ** width)
      const source = written(bits => {
        for (const value of values) bits.fixed(value, width)
      })
      const out = new Float64Array(values.length + 1)
      readFixed(source, out, 1, width)
      expect([...out.subarray(1)]).toEqual(values)
      expect(source.remaining).toBe(0)
    }),
    { numRuns: 500 },
  )
})

test('one outlier costs at most 77 bits', () => {
  expect(written(bits => bits.rice(Number.MAX_SAFE_INTEGER, 0)).remaining).toBe(Math.ceil(77 / 8))
})

test('a bit stream cut off is refused', () => {
  const bytes = written(bits => {
    for (let i = 0; i < 100; i++) bits.rice(1000 + i, 7)
  }).bytes
  for (let end = 0; end < bytes.length; end++) {
    expect(() => readRice(new ByteReader(bytes, 0, end), new Float64Array(100), 0, 7)).toThrow('batch is damaged')
  }
})
