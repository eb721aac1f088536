import { describe, expect, it } from 'vitest'
import { createAckReader, encodeFrame, encodeLine } from './serial-framing.ts'

const bytes = (text: string) => Buffer.from(text)
function acks(...chunks: string[]): number[] {
  const heard: number[] = []
  const feed = createAckReader(n => heard.push(n))
  for (const chunk of chunks) feed(bytes(chunk))
  return heard
}

describe('serial framing', () => {
  it('frames a payload with its number and the CRC-32 over both', () => {
    expect(encodeFrame(7, bytes('{"a":1}')).toString()).toBe('7 {"a":1} *9e58a832\n')
    expect(encodeFrame(4_294_967_295, bytes('')).toString()).toMatch(/^4294967295 {2}\*[0-9a-f]{8}\n$/)
  })

  it('fills the CRC up to eight digits', () => {
    const frames = Array.from({ length: 500 }, (_, n) => encodeFrame(n + 1, bytes('x')).toString())
    expect(frames.every(frame => /^\d+ x \*[0-9a-f]{8}\n$/.test(frame))).toBe(true)
    expect(frames.some(frame => / \*0/.test(frame))).toBe(true)
  })

  it('refuses a payload that holds a line end', () => {
    for (const text of ['a\nb', 'a\r']) {
      expect(() => encodeFrame(1, bytes(text))).toThrow(/line end/)
      expect(() => encodeLine(bytes(text))).toThrow(/line end/)
    }
  })

  it('hears acknowledgements in any pieces, with or without carriage return', () => {
    expect(acks('ACK 1\nACK', ' 2\r\nA', 'CK 4294967295\n')).toEqual([1, 2, 4_294_967_295])
  })

  it('skips noise, numbers out of range and lines without end', () => {
    expect(acks('ACK 0\nACK 4294967296\nACK 01\nACK -1\nack 5\nACK 5x\nACK  5\n\n')).toEqual([])
    expect(acks('\0\xff garbage ', 'x'.repeat(100_000), '\nACK 3\n')).toEqual([3])
  })
})
