import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SealedBatch } from '../buffer/buffer.ts'
import { Outbox } from './outbox.ts'

const batch = (seq: number, epoch = 1): SealedBatch => ({
  epoch,
  seq,
  body: new Uint8Array(),
  readings: 10,
  aggregates: 0,
  newestUs: 0,
  floor: 1,
})
const both = ['backlog', 'live'] as const
const heldBackoff = { baseMs: 100, capMs: 400 }

test('batches leave in the order in which they came, and one that failed goes before what is later', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(7, 9), batch(1), batch(2), batch(3)], 'live')
  const [old, one, two] = [outbox.take(0, both)!, outbox.take(0, both)!, outbox.take(0, both)!]
  outbox.putBack(two, 0)
  outbox.putBack(one, 0)
  outbox.putBack(old, 0)
  const order = [0, 0, 0, 0].map(now => outbox.take(now, both)?.batch.seq)
  expect(order).toEqual([7, 1, 2, 3])
  expect(outbox.take(0, both)).toBeNull()
})

test('a batch that is here is not taken in twice, wherever it is', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(1), batch(2), batch(3)], 'live')
  outbox.take(0, both)
  outbox.hold(outbox.take(0, both)!, 0, 'conflict', 'no')
  outbox.add([batch(1), batch(2), batch(3), batch(4)], 'backlog')
  expect([outbox.inFlight, outbox.heldCount, outbox.waiting('live') + outbox.waiting('backlog')]).toEqual([1, 1, 2])
})

test('a held batch is due after between half and all of a wait that doubles', () => {
  const outbox = new Outbox(heldBackoff, () => 0)
  outbox.add([batch(1)], 'live')
  let now = 0
  const waits: number[] = []
  for (let i = 0; i < 4; i++) {
    outbox.hold(outbox.take(now, both)!, now, 'conflict', 'no')
    const due = outbox.heldDueInMs(now, both)!
    expect(outbox.take(now + due - 1, both)).toBeNull()
    waits.push(due)
    now += due
  }
  expect(waits).toEqual([50, 100, 200, 200])
  expect(outbox.held()).toEqual([{ epoch: 1, seq: 1, readings: 10, code: 'conflict', detail: 'no', tries: 4 }])
  outbox.done(outbox.take(now, both)!)
  expect([outbox.heldDueInMs(now, both), outbox.has('live')]).toEqual([null, false])
})

test('a held batch whose new try was not answered stays held, and is due', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(1)], 'live')
  outbox.hold(outbox.take(0, both)!, 0, 'conflict', 'no')
  outbox.putBack(outbox.take(1000, both)!, 1000)
  expect([outbox.heldCount, outbox.waiting('live'), outbox.heldDueInMs(1000, both)]).toEqual([1, 0, 0])
  expect(outbox.take(1000, both)?.refusals).toBe(1)
})

test('whatever happens, no batch is lost or doubled', () => {
  const step = fc.constantFrom('take', 'done', 'putBack', 'hold', 'addAgain')
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.nat(9)), { maxLength: 60 }), steps => {
      const outbox = new Outbox(heldBackoff)
      const all = Array.from({ length: 5 }, (_, i) => batch(i + 1))
      const left = new Set(all.map(({ seq }) => seq))
      const flying = []
      outbox.add(all.slice(0, 2), 'live')
      outbox.add(all.slice(2), 'backlog')
      let now = 0
      for (const [what, which] of steps) {
        now += 50
        if (what === 'take') {
          const taken = outbox.take(now, both)
          if (taken) flying.push(taken)
          continue
        }
        if (what === 'addAgain') {
          outbox.add(
            all.filter(({ seq }) => left.has(seq)),
            'live',
          )
          continue
        }
        const [outgoing] = flying.splice(which % Math.max(1, flying.length), 1)
        if (!outgoing) continue
        if (what === 'done') {
          outbox.done(outgoing)
          left.delete(outgoing.batch.seq)
        } else if (what === 'putBack') outbox.putBack(outgoing, now)
        else outbox.hold(outgoing, now, 'conflict', 'no')
      }
      expect(outbox.waiting('live') + outbox.waiting('backlog') + outbox.inFlight + outbox.heldCount).toBe(left.size)
      for (const outgoing of flying) outbox.putBack(outgoing, now)
      const seen = []
      for (let next = outbox.take(now + 1e6, both); next; next = outbox.take(now + 1e6, both)) seen.push(next.batch.seq)
      expect(seen.sort()).toEqual([...left].sort())
    }),
    { numRuns: 200 },
  )
})

test('a lane is taken from by itself, its held batches included, or before the other', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(1), batch(2)], 'backlog')
  outbox.add([batch(3)], 'live')
  outbox.hold(outbox.take(0, both)!, 0, 'conflict', 'no')
  expect(outbox.heldDueInMs(0, ['live'])).toBeNull()
  expect(outbox.take(1000, ['live'])?.batch.seq).toBe(3)
  expect(outbox.take(1000, ['live'])).toBeNull()
  expect(outbox.has('live')).toBe(true)
  expect([outbox.take(1000, ['backlog'])?.batch.seq, outbox.take(1000, ['backlog'])?.batch.seq]).toEqual([1, 2])
  expect([outbox.inFlightOf('live'), outbox.inFlightOf('backlog'), outbox.inFlight]).toEqual([1, 2, 3])
})

test('a batch sealed again goes first in its lane, and says so', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(1), batch(2)], 'backlog')
  outbox.replace(outbox.take(0, ['backlog'])!, batch(1, 2))
  expect(outbox.take(0, ['backlog'])).toMatchObject({ batch: { epoch: 2, seq: 1 }, resealed: true, refusals: 0 })
  expect(outbox.take(0, ['backlog'])).toMatchObject({ batch: { epoch: 1, seq: 2 }, resealed: false })
})
