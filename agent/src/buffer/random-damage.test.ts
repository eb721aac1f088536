import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Buffer } from './buffer.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { openBuffer } from './sqlite-buffer.ts'

const open = (folder: string) =>
  openBuffer({
    folder,
    worker: false,
    windowMs: 0,
    ballastBytes: 0,
    sabotage: 'fsync-off',
    maxBytes: 32 * 1024 * 1024,
    fileBytes: 64 * 1024,
    copyShare: 1,
    agentId: () => 'ag-damage',
  })

/** Accept, split, seal from both lanes and acknowledge; returns how many readings were accepted and which of them the hub has. */
async function live(buffer: Buffer, sizes: readonly number[]): Promise<{ sent: number; delivered: Set<number> }> {
  const delivered = new Set<number>()
  let sent = 0
  for (const size of sizes) {
    const readings = Array.from({ length: size }, (_, index) =>
      reading(`d${index % 5}`, sent + index, Math.sin(sent + index)),
    )
    await accept(buffer, message(readings))
    sent += size
    if (size % 13 === 0) await buffer.split(0)
    const batch = size % 6 === 0 ? await buffer.seal(size * 8, size % 5 === 0 ? 'backlog' : 'live') : null
    if (!batch || size % 4 === 0) continue
    await buffer.acknowledge(batch.epoch, batch.seq)
    for (const [, number] of contents(batch.body)) delivered.add(number)
  }
  return { sent, delivered }
}

type Damage = { kind: 'cut' | 'delete' | 'overwrite'; which: number; at: number; bytes: Uint8Array }

function damage(files: Map<string, Uint8Array<ArrayBuffer>>, { kind, which, at, bytes }: Damage): void {
  const names = [...files.keys()].filter(name => name.endsWith('.db') || name.endsWith('-wal'))
  const name = names[which % names.length] ?? ''
  const content = files.get(name) ?? new Uint8Array(0)
  const place = Math.floor(at * content.length)
  if (kind === 'delete') files.delete(name)
  else if (kind === 'cut') files.set(name, content.slice(0, place))
  else content.set(bytes.subarray(0, content.length - place), place)
}

test('whatever is damaged after a kill: it opens, nothing is there twice, nothing is missing without being counted', async () => {
  const damages = fc.record({
    kind: fc.constantFrom('cut' as const, 'delete' as const, 'overwrite' as const, 'overwrite' as const),
    which: fc.nat(20),
    at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 4000, size: 'max' }),
  })
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 50, maxLength: 300, size: 'max' })
  const property = fc.asyncProperty(sizes, damages, async (given, harm) => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-random-'))
    const broken = mkdtempSync(join(tmpdir(), 'tributary-random-'))
    try {
      const before = await open(folder)
      const { sent, delivered } = await live(before, given)
      const names = readdirSync(folder).filter(name => name !== 'lock.db' && statSync(join(folder, name)).isFile())
      const files = new Map(names.map(name => [name, Uint8Array.from(readFileSync(join(folder, name)))]))
      await before.close()
      damage(files, harm)
      for (const [name, bytes] of files) writeFileSync(join(broken, name), bytes)
      rmSync(folder, { recursive: true })

      const buffer = await open(broken)
      const found = (await buffer.pending(1000)).flatMap(({ body }) => contents(body).map(([, number]) => number))
      for (const lane of ['backlog', 'live'] as const) {
        for (let batch = await buffer.seal(1000, lane); batch; batch = await buffer.seal(1000, lane)) {
          found.push(...contents(batch.body).map(([, number]) => number))
        }
      }
      const { counters } = await buffer.stats()
      await buffer.close()
      const unique = new Set(found)
      expect(unique.size).toBe(found.length)
      expect(lawHolds(counters)).toBe(true)
      const missing = Array.from({ length: sent }, (_, number) => number).filter(
        one => !unique.has(one) && !delivered.has(one),
      )
      expect(missing.length).toBeLessThanOrEqual(counters.evicted)
    } finally {
      await Promise.all([folder, broken].map(one => rm(one, { recursive: true, force: true })))
    }
  })
  await fc.assert(property, { numRuns: 25 })
})
