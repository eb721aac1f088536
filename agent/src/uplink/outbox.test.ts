import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SealedBatch } from '../buffer/buffer.ts'
import { Outbox } from './outbox.ts'

const batch = (seq: number, epoch = 1): SealedBatch => ({
  epoch,
  seq,
  body: new Uint8Array(),
  readings: 10,
  newestUs: 0,
  floor: 1,
})
const heldBackoff = { baseMs: 100, capMs: 400 }

test('batches leave in the order in which they came, and one that failed goes before what is later', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(7, 9), batch(1), batch(2), batch(3)])
  const [old, one, two] = [outbox.take(0)!, outbox.take(0)!, outbox.take(0)!]
  outbox.putBack(two, 0)
  outbox.putBack(one, 0)
  outbox.putBack(old, 0)
  const order = [0, 0, 0, 0].map(now => outbox.take(now)?.batch.seq)
  expect(order).toEqual([7, 1, 2, 3])
  expect(outbox.take(0)).toBeNull()
})

test('a batch that is here is not taken in twice, wherever it is', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(1), batch(2), batch(3)])
  outbox.take(0)
  outbox.hold(outbox.take(0)!, 0, 'conflict', 'no')
  outbox.add([batch(1), batch(2), batch(3), batch(4)])
  expect([outbox.inFlight, outbox.heldCount, outbox.waiting]).toEqual([1, 1, 2])
  expect(outbox.readings()).toBe(40)
})

test('a held batch is due after between half and all of a wait that doubles', () => {
  const outbox = new Outbox(heldBackoff, () => 0)
  outbox.add([batch(1)])
  let now = 0
  const waits: number[] = []
  for (let i = 0; i < 4; i++) {
    outbox.hold(outbox.take(now)!, now, 'conflict', 'no')
    const due = outbox.heldDueInMs(now)!
    expect(outbox.take(now + due - 1)).toBeNull()
    waits.push(due)
    now += due
  }
  expect(waits).toEqual([50, 100, 200, 200])
  expect(outbox.held()).toEqual([{ epoch: 1, seq: 1, readings: 10, code: 'conflict', detail: 'no', tries: 4 }])
  outbox.done(outbox.take(now)!)
  expect([outbox.heldDueInMs(now), outbox.readings()]).toEqual([null, 0])
})

test('a held batch whose new try was not answered stays held, and is due', () => {
  const outbox = new Outbox(heldBackoff)
  outbox.add([batch(1)])
  outbox.hold(outbox.take(0)!, 0, 'conflict', 'no')
  outbox.putBack(outbox.take(1000)!, 1000)
  expect([outbox.heldCount, outbox.waiting, outbox.heldDueInMs(1000)]).toEqual([1, 0, 0])
  expect(outbox.take(1000)?.refusals).toBe(1)
})

test('whatever happens, no batch is lost or doubled', () => {
  const step = fc.constantFrom('take', 'done', 'putBack', 'hold', 'addAgain')
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.nat(9)), { maxLength: 60 }), steps => {
      const outbox = new Outbox(heldBackoff)
      const all = Array.from({ length: 5 }, (_, i) => batch(i + 1))
      const left = new Set(all.map(({ seq }) => seq))
      const flying = []
      outbox.add(all)
      let now = 0
      for (const [what, which] of steps) {
        now += 50
        if (what === 'take') {
          const taken = outbox.take(now)
          if (taken) flying.push(taken)
          continue
        }
        if (what === 'addAgain') {
          outbox.add(all.filter(({ seq }) => left.has(seq)))
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
      expect(outbox.waiting + outbox.inFlight + outbox.heldCount).toBe(left.size)
      for (const outgoing of flying) outbox.putBack(outgoing, now)
      const seen = []
      for (let next = outbox.take(now + 1e6); next; next = outbox.take(now + 1e6)) seen.push(next.batch.seq)
      expect(seen.sort()).toEqual([...left].sort())
    }),
    { numRuns: 200 },
  )
})
