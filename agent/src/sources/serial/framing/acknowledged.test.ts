import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acknowledged } from './acknowledged.ts'

function frame(n: number | string, payload: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(`${n} `), payload])
  return Buffer.concat([body, Buffer.from(` *${crc32(body).toString(16).padStart(8, '0')}`)])
}

describe('the acknowledged framing', () => {
  it('gives number and payload of every well-formed line', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4_294_967_295 }),
        fc.uint8Array({ maxLength: 40 }).map(Buffer.from),
        (n, payload) => {
          expect(acknowledged.parse(frame(n, payload))).toEqual({ number: n, payload })
        },
      ),
      { numRuns: 200 },
    )
  })

  it('refuses every line with one bit wrong', () => {
    const good = frame(17, Buffer.from('{"a":1}'))
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      const parsed = acknowledged.parse(bad)
      // Upper and lower case of a CRC digit are the same line.
      if (parsed !== null) expect(bad.toString('latin1').toLowerCase()).toBe(good.toString('latin1').toLowerCase())
    }
  })

  it('refuses numbers out of range and lines that are none', () => {
    for (const n of [0, 4_294_967_296, '01', '-1', '1e3', ''])
      expect(acknowledged.parse(frame(n, Buffer.from('{}')))).toBeNull()
    for (const text of ['', 'x', '{"a":1}', '1 {}', ' *00000000', '1 *d202ef8d'])
      expect(acknowledged.parse(Buffer.from(text))).toBeNull()
  })
})
