import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Line, LineSplitter } from './line-splitter.ts'

async function split(chunks: readonly Buffer[], maxLineBytes: number): Promise<[string, number][]> {
  const splitter = new LineSplitter(maxLineBytes)
  const lines: [string, number][] = []
  splitter.on('data', ({ bytes, length }: Line) => lines.push([bytes.toString('latin1'), length]))
  for (const chunk of chunks) splitter.write(chunk)
  await new Promise<void>(resolve => splitter.end(resolve))
  return lines
}

describe('LineSplitter', () => {
  it('gives the same lines however the bytes are cut', async () => {
    const text = Buffer.from('a\r\nbb\n\n\r\nccc\ndd\r\rd\nlast without an end')
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(text.length), { maxLength: 6 }), async cuts => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), text.length]
        const chunks = at.slice(1).map((end, i) => text.subarray(at[i], end))
        expect(await split(chunks, 16)).toEqual([
          ['a', 1],
          ['bb', 2],
          ['ccc', 3],
          ['dd\r\rd', 5],
        ])
      }),
      { numRuns: 100 },
    )
  })

  it('keeps a line of the longest length whole, and says how long a longer one was', async () => {
    const [whole, long] = await split(
      [Buffer.from(`${'x'.repeat(8)}\r\n${'y'.repeat(5)}`), Buffer.from(`${'y'.repeat(100)}\nz\n`)],
      8,
    )
    expect(whole).toEqual(['x'.repeat(8), 8])
    expect(long?.[0].length).toBeLessThanOrEqual(9)
    expect(long?.[1]).toBe(105)
  })
})
