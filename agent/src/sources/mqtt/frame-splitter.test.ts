import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameSplitter, PacketTooLarge } from './frame-splitter.ts'

function packet(type: number, payload: Uint8Array): Buffer {
  const length: number[] = []
  let left = payload.length
  do {
    length.push((left & 0x7f) | (left > 127 ? 0x80 : 0))
    left >>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from([type << 4, ...length]), payload])
}

function splitAll(splitter: FrameSplitter, chunks: readonly Buffer[], cutOff: number[] = []): string[] {
  const found: string[] = []
  for (const chunk of chunks) {
    splitter.push(chunk)
    while (splitter.next()) {
      const { bytes, at, body, end } = splitter
      found.push(`${bytes[at]! >> 4} ${bytes.toString('hex', body, end)}`)
      cutOff.push(splitter.cutOff)
    }
  }
  return found
}

describe('FrameSplitter', () => {
  const packets = fc.array(fc.tuple(fc.integer({ min: 1, max: 14 }), fc.uint8Array({ maxLength: 300 })), {
    maxLength: 8,
  })
  const cutsAt = fc.array(fc.nat(2000), { maxLength: 12 })

  function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
    const at = [0, ...cuts.map(cut => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length]
    return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
  }

  it('finds the same packets however the bytes are cut', () => {
    fc.assert(
      fc.property(packets, cutsAt, (given, cuts) => {
        const bytes = Buffer.concat(given.map(([type, payload]) => packet(type, payload)))
        expect(splitAll(new FrameSplitter(4096), chunksOf(bytes, cuts))).toEqual(
          given.map(([type, payload]) => `${type} ${Buffer.from(payload).toString('hex')}`),
        )
      }),
      { numRuns: 300 },
    )
  })

  it('finds the beginning of a packet that is too long, and the next one, however the bytes are cut', () => {
    fc.assert(
      fc.property(packets, cutsAt, fc.integer({ min: 1, max: 200 }), (given, cuts, most) => {
        const bytes = Buffer.concat(given.map(([type, payload]) => packet(type, payload)))
        const splitter = new FrameSplitter(most, 'cut')
        const cutOff: number[] = []
        const found = chunksOf(bytes, cuts).flatMap(chunk => splitAll(splitter, [chunk], cutOff))
        expect(found).toEqual(
          given.map(([type, payload]) => `${type} ${Buffer.from(payload.subarray(0, most)).toString('hex')}`),
        )
        expect(cutOff).toEqual(given.map(([, payload]) => Math.max(0, payload.length - most)))
      }),
      { numRuns: 500 },
    )
  })

  it('takes a packet of the longest length and refuses one byte more as soon as its length is read', () => {
    expect(splitAll(new FrameSplitter(1000), [packet(3, Buffer.alloc(1000))])).toHaveLength(1)
    expect(() => splitAll(new FrameSplitter(1000), [packet(3, Buffer.alloc(1001)).subarray(0, 3)])).toThrow(
      PacketTooLarge,
    )
    expect(() => splitAll(new FrameSplitter(1e9), [Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])])).toThrow(/4 bytes/)
  })
})
