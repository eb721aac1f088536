import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Lane } from '@tributary/shared/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Buffer } from './buffer.ts'
import { accept, contents, lawHolds, message, reading } from './buffer-suite.ts'
import { openBuffer } from './sqlite-buffer.ts'

/** What the buffer should hold, in plain arrays. Every reading is told from the others by its time. */
interface Model {
  next: number
  /** By range, the live one last; a range behind it is never empty. */
  unsealed: number[][]
  /** Not acknowledged: key → times. */
  pending: Map<string, number[]>
  /** Acknowledged, kept as a copy. */
  copies: Map<string, number[]>
  settled: Map<number, number>
  letters: number
  receipts: Map<string, string>
  accepted: number
}

interface Real {
  folder: string
  buffer: Buffer
}

const open = (folder: string) =>
  openBuffer({
    folder,
    worker: false,
    windowMs: 0,
    ballastBytes: 0,
    minFreeBytes: 0,
    sabotage: 'fsync-off',
    maxBytes: 64 * 1024 * 1024,
    fileBytes: 64 * 1024,
    copyShare: 1,
    agentId: () => 'ag-model',
  })

class Accept implements fc.AsyncCommand<Model, Real> {
  readonly sizes: readonly number[]
  constructor(sizes: readonly number[]) {
    this.sizes = sizes
  }
  check = () => true
  toString = () => `accept(${this.sizes})`
  async run(model: Model, real: Real) {
    await Promise.all(
      this.sizes.map(size => {
        const times = Array.from({ length: size }, () => model.next++)
        model.unsealed.at(-1)?.push(...times)
        model.accepted += size
        const values = [Math.PI, 'text', true, 21.5] as const
        return accept(real.buffer, message(times.map(time => reading(`d${time % 5}`, time, values[time % 4] ?? 0))))
      }),
    )
  }
}

class AcceptOther implements fc.AsyncCommand<Model, Real> {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
  check = () => true
  toString = () => `acceptOther(${this.id})`
  async run(model: Model, real: Real) {
    const digest = String(model.next++).padStart(16, '0')
    const deadLetter = { source: 's', origin: 'o', reason: 'r', payload: new Uint8Array(this.id), receivedAtUs: 1 }
    await accept(real.buffer, message([], { deadLetter, receipt: { scope: `c${this.id % 3}`, id: this.id, digest } }))
    model.letters++
    model.accepted++
    model.receipts.set(`c${this.id % 3}/${this.id}`, digest)
    if (this.id % 2 === 0) return
    await real.buffer.release(`c${this.id % 3}`, this.id)
    model.receipts.delete(`c${this.id % 3}/${this.id}`)
  }
}

class Seal implements fc.AsyncCommand<Model, Real> {
  readonly size: number
  readonly lane: Lane
  constructor(size: number, lane: Lane) {
    this.size = size
    this.lane = lane
  }
  check = () => true
  toString = () => `seal(${this.size}, ${this.lane})`
  async run(model: Model, real: Real) {
    const batch = await real.buffer.seal(this.size, this.lane)
    const range = this.lane === 'live' ? model.unsealed.at(-1) : model.unsealed.slice(0, -1)[0]
    const expected = range?.splice(0, this.size) ?? []
    if (this.lane === 'backlog' && range?.length === 0) model.unsealed.shift()
    expect(batch?.readings ?? 0).toBe(expected.length)
    if (!batch) return
    const times = contents(batch.body).map(([, tsUs]) => tsUs)
    expect(times.sort((a, b) => a - b)).toEqual(expected)
    model.pending.set(`${batch.epoch}/${batch.seq}`, expected)
  }
}

class Split implements fc.AsyncCommand<Model, Real> {
  check = () => true
  toString = () => 'split'
  async run(model: Model, real: Real) {
    const splits = model.unsealed.at(-1)?.length !== 0 && model.unsealed.length < 64
    expect(await real.buffer.split(0)).toBe(splits)
    if (splits) model.unsealed.push([])
  }
}

class Acknowledge implements fc.AsyncCommand<Model, Real> {
  readonly which: number
  constructor(which: number) {
    this.which = which
  }
  check = (model: Readonly<Model>) => model.pending.size > 0
  toString = () => `acknowledge(${this.which})`
  async run(model: Model, real: Real) {
    const key = [...model.pending.keys()][this.which % model.pending.size] ?? ''
    const [epoch = 0, seq = 0] = key.split('/').map(Number)
    await real.buffer.acknowledge(epoch, seq)
    model.copies.set(key, model.pending.get(key) ?? [])
    model.pending.delete(key)
  }
}

class Settle implements fc.AsyncCommand<Model, Real> {
  readonly settled: number
  constructor(settled: number) {
    this.settled = settled
  }
  check = () => true
  toString = () => `settle(${this.settled})`
  async run(model: Model, real: Real) {
    const { epoch } = real.buffer
    const known = model.settled.get(epoch) ?? 0
    let again = 0
    for (const [key, times] of [...model.copies]) {
      const [ofEpoch = 0, seq = 0] = key.split('/').map(Number)
      if (this.settled >= known || ofEpoch !== epoch || seq < this.settled) continue
      model.pending.set(key, times)
      model.copies.delete(key)
      again++
    }
    model.settled.set(epoch, this.settled)
    expect(await real.buffer.settle(epoch, this.settled)).toBe(again)
  }
}

class Restart implements fc.AsyncCommand<Model, Real> {
  check = () => true
  toString = () => 'restart'
  async run(model: Model, real: Real) {
    const before = await real.buffer.pending(1000)
    await real.buffer.close()
    real.buffer = await open(real.folder)
    expect(await real.buffer.pending(1000)).toEqual(before)
    expect(new Map(real.buffer.receipts().map(one => [`${one.scope}/${one.id}`, one.digest]))).toEqual(model.receipts)
  }
}

class Check implements fc.AsyncCommand<Model, Real> {
  check = () => true
  toString = () => 'check'
  async run(model: Model, real: Real) {
    const pending = await real.buffer.pending(1000)
    expect(new Set(pending.map(({ epoch, seq }) => `${epoch}/${seq}`))).toEqual(new Set(model.pending.keys()))
    for (const { epoch, seq, floor } of pending) {
      const seqs = [...model.pending.keys()]
        .filter(key => key.startsWith(`${epoch}/`))
        .map(key => Number(key.split('/')[1]))
      expect(floor).toBe(Math.min(...seqs))
      expect(floor).toBeLessThanOrEqual(seq)
    }
    const stats = await real.buffer.stats()
    const inPending = [...model.pending.values()].reduce((sum, times) => sum + times.length, 0)
    expect(stats).toMatchObject({
      backlogReadings: model.unsealed.flat().length + inPending,
      unsealedLive: model.unsealed.at(-1)?.length,
      unsealedBacklog: model.unsealed.slice(0, -1).flat().length,
      backlogRanges: model.unsealed.length - 1,
      sealedPending: model.pending.size,
      deadLetters: model.letters,
      losses: [],
      counters: { accepted: model.accepted, deadLettered: model.letters, evicted: 0 },
    })
    expect(lawHolds(stats.counters)).toBe(true)
  }
}

test('the buffer behaves like its model under any sequence of operations and restarts', async () => {
  const commands = [
    fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }).map(sizes => new Accept(sizes)),
    fc.integer({ min: 0, max: 60 }).map(id => new AcceptOther(id)),
    fc
      .tuple(fc.constantFrom(1, 7, 100, 5000), fc.constantFrom('live' as const, 'backlog' as const))
      .map(([size, lane]) => new Seal(size, lane)),
    fc.constant(new Split()),
    fc.nat(50).map(which => new Acknowledge(which)),
    fc.integer({ min: 0, max: 12 }).map(settled => new Settle(settled)),
    fc.constant(new Restart()),
    fc.constant(new Check()),
  ]
  const property = fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async given => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-model-'))
    const real: Real = { folder, buffer: await open(folder) }
    const model: Model = {
      next: 1,
      unsealed: [[]],
      pending: new Map(),
      copies: new Map(),
      settled: new Map(),
      letters: 0,
      receipts: new Map(),
      accepted: 0,
    }
    try {
      await fc.asyncModelRun(() => ({ model, real }), [...given, new Restart(), new Check()])
    } finally {
      await real.buffer.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
  await fc.assert(property, { numRuns: 25 })
})
