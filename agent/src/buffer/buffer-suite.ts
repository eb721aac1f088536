/**
 * What every implementation of `Buffer` keeps: the contract of buffer.ts as tests.
 *
 * An implementation's test file calls `bufferSuite` with a way to open a buffer on a folder of its own and to open that folder again.
 */
import { decodeBatch } from '@tributary/shared/batch/codec'
import { isTributaryError } from '@tributary/shared/errors'
import type { Reading, Value } from '@tributary/shared/reading'
import { afterEach, describe, expect, test } from 'vitest'
import type { Buffer, Message } from './buffer.ts'
import type { ClassCounters, Counters } from './counters.ts'

export interface SuiteSubject {
  /** Open the one folder of this test; called again after `close` it finds what was there. */
  open(): Promise<Buffer>
  remove(): Promise<void>
}

export function reading(device: string, tsUs: number, value: Value, quality: 0 | 1 | 2 = 0): Reading {
  return { series: { device, metric: 'temperature', unit: 'Cel' }, tsUs, value, quality }
}

export function message(readings: readonly Reading[], more: Partial<Message> = {}): Message {
  return { readings, deadLetter: null, receipt: null, maybeDuplicate: false, ...more }
}

export function accept(buffer: Buffer, given: Message): Promise<void> {
  return new Promise((resolve, reject) => buffer.accept(given, error => (error ? reject(error) : resolve())))
}

/** (device, time, value) of every reading in a sealed body. */
export function contents(body: Uint8Array): [string, number, Value, number][] {
  return decodeBatch(body).columns.flatMap(({ series, tsUs, values, quality }) =>
    Array.from(tsUs, (time, index): [string, number, Value, number] => [
      series.device,
      time,
      values[index] as Value,
      quality?.[index] ?? 0,
    ]),
  )
}

/** The law of promise 3, in all and for each class, which add up. */
export function lawHolds(counters: Counters): boolean {
  const { accepted, deadLettered, classes } = counters
  const accounted = ({ stored, folded, suppressed, evicted }: Omit<ClassCounters, 'class' | 'accepted'>) =>
    stored + folded + suppressed + evicted
  const acceptedOfClasses = classes.reduce((sum, one) => sum + one.accepted, 0)
  return (
    accepted === accounted(counters) + deadLettered &&
    accepted === acceptedOfClasses + deadLettered &&
    classes.every(one => one.accepted === accounted(one) && one.stored >= 0 && one.folded >= 0)
  )
}

const letter = { source: 'mqtt', origin: 'sensors/a', reason: 'not JSON', receivedAtUs: 5 }

export function bufferSuite(name: string, subject: () => SuiteSubject): void {
  describe(name, () => {
    const opened: Buffer[] = []
    const subjects: SuiteSubject[] = []

    function begin(): SuiteSubject {
      const begun = subject()
      subjects.push(begun)
      return begun
    }
    async function open(from: SuiteSubject): Promise<Buffer> {
      const buffer = await from.open()
      opened.push(buffer)
      return buffer
    }
    afterEach(async () => {
      await Promise.all(opened.splice(0).map(buffer => buffer.close()))
      await Promise.all(subjects.splice(0).map(one => one.remove()))
    })

    test('an accepted message is sealed with every value as it came', async () => {
      const buffer = await open(begin())
      const sent = [
        reading('a', 1_700_000_000_000_000, 21.5),
        reading('a', 1_700_000_000_000_001, -0),
        reading('b', 1_700_000_000_000_002, true, 1),
        reading('b', 1_600_000_000_000_000, 'äöü', 2),
        reading('a', 1_700_000_000_000_003, 0.1 + 0.2),
      ]
      await accept(buffer, message(sent))
      const batch = await buffer.seal(100, 'live')
      expect(batch).toMatchObject({
        epoch: buffer.epoch,
        seq: 1,
        readings: 5,
        newestUs: 1_700_000_000_000_003,
        floor: 1,
      })
      const expected = sent.map(({ series, tsUs, value, quality }) => [series.device, tsUs, value, quality])
      expect(contents(batch!.body).sort()).toEqual(expected.sort())
      expect(await buffer.seal(100, 'live')).toBeNull()
    })

    test('messages are called back in the order of accept', async () => {
      const buffer = await open(begin())
      const order: number[] = []
      await Promise.all(
        Array.from({ length: 500 }, async (_, index) => {
          await accept(buffer, message([reading(`d${index % 7}`, index, index)]))
          order.push(index)
        }),
      )
      expect(order).toEqual(Array.from({ length: 500 }, (_, index) => index))
    })

    test('unsealed readings are sealed after a restart, under a new epoch', async () => {
      const from = begin()
      const first = await open(from)
      await accept(first, message([reading('a', 1, 1), reading('a', 2, 2)]))
      await first.close()
      const second = await open(from)
      const batch = await second.seal(100, 'live')
      expect(batch?.epoch).toBe(second.epoch)
      expect(second.epoch).not.toBe(first.epoch)
      expect(contents(batch!.body).map(([, tsUs]) => tsUs)).toEqual([1, 2])
    })

    test('a seal takes at most so many readings, also out of one message', async () => {
      const buffer = await open(begin())
      await accept(buffer, message(Array.from({ length: 25 }, (_, index) => reading('a', index, index))))
      const sizes: number[] = []
      const times: number[] = []
      for (let batch = await buffer.seal(10, 'live'); batch; batch = await buffer.seal(10, 'live')) {
        sizes.push(batch.readings)
        times.push(...contents(batch.body).map(([, tsUs]) => tsUs))
      }
      expect(sizes).toEqual([10, 10, 5])
      expect(times).toEqual(Array.from({ length: 25 }, (_, index) => index))
    })

    test('a pending batch is byte for byte the same after a restart', async () => {
      const from = begin()
      const first = await open(from)
      await accept(first, message([reading('a', 1, 1)]))
      const one = await first.seal(10, 'live')
      await accept(first, message([reading('a', 2, 2)]))
      const two = await first.seal(10, 'live')
      await first.close()
      const second = await open(from)
      expect(await second.pending(1000)).toEqual([one, two])
    })

    test('pending batches come in pages, oldest first, each once', async () => {
      const from = begin()
      const first = await open(from)
      for (const tsUs of [1, 2, 3, 4, 5]) {
        await accept(first, message([reading('a', tsUs, tsUs)]))
        if (tsUs < 4) await first.seal(1, 'live')
      }
      await first.close()
      const second = await open(from)
      for (let i = 0; i < 2; i++) await second.seal(1, 'live')
      const pages: number[][] = []
      for (let page = await second.pending(2); page.length > 0; page = await second.pending(2, page.at(-1))) {
        pages.push(page.map(({ newestUs }) => newestUs))
      }
      expect(pages).toEqual([[1, 2], [3, 4], [5]])
    })

    test('an acknowledged batch is not pending any more and raises the floor', async () => {
      const from = begin()
      const buffer = await open(from)
      for (const tsUs of [1, 2, 3]) {
        await accept(buffer, message([reading('a', tsUs, tsUs)]))
        await buffer.seal(1, 'live')
      }
      await buffer.acknowledge(buffer.epoch, 2)
      expect(await Promise.all([1, 2, 4].map(seq => buffer.isPending(buffer.epoch, seq)))).toEqual([true, false, false])
      expect((await buffer.pending(1000)).map(({ seq, floor }) => [seq, floor])).toEqual([
        [1, 1],
        [3, 1],
      ])
      await buffer.acknowledge(buffer.epoch, 1)
      await buffer.acknowledge(buffer.epoch, 1)
      expect((await buffer.pending(1000)).map(({ seq, floor }) => [seq, floor])).toEqual([[3, 3]])
      await buffer.close()
      const again = await open(from)
      expect((await again.pending(1000)).map(({ seq }) => seq)).toEqual([3])
    })

    test('acknowledging what was never sealed is refused', async () => {
      const buffer = await open(begin())
      await expect(buffer.acknowledge(buffer.epoch, 1)).rejects.toMatchObject({ code: 'not-found' })
      await expect(buffer.acknowledge(12345, 1)).rejects.toMatchObject({ code: 'not-found' })
    })

    test('when the stored floor of the hub falls, acknowledged copies are pending again', async () => {
      const buffer = await open(begin())
      const bodies: Uint8Array[] = []
      for (const tsUs of [1, 2, 3]) {
        await accept(buffer, message([reading('a', tsUs, tsUs)]))
        bodies.push((await buffer.seal(1, 'live'))!.body)
        await buffer.acknowledge(buffer.epoch, tsUs)
        expect(await buffer.settle(buffer.epoch, tsUs + 1)).toBe(0)
      }
      expect((await buffer.stats()).backlogReadings).toBe(0)
      expect(await buffer.settle(buffer.epoch, 2)).toBe(2)
      const pending = await buffer.pending(1000)
      expect(pending.map(({ seq }) => seq)).toEqual([2, 3])
      expect(pending.map(({ body }) => body)).toEqual(bodies.slice(1))
      expect(await buffer.settle(987, 2)).toBe(0)
    })

    test('receipts survive a restart, the newest for an id, without the released ones', async () => {
      const from = begin()
      const buffer = await open(from)
      const receipt = (scope: string, id: number, digest: string) => ({ scope, id, digest: digest.repeat(16) })
      await accept(buffer, message([reading('a', 1, 1)], { receipt: receipt('mqtt1:x', 7, 'a') }))
      await accept(buffer, message([reading('a', 2, 2)], { receipt: receipt('mqtt1:x', 7, 'b') }))
      await accept(buffer, message([], { receipt: receipt('mqtt2:x', 8, 'c') }))
      await accept(buffer, message([], { receipt: receipt('mqtt2:x', 9, 'd') }))
      await buffer.release('mqtt2:x', 8)
      await buffer.release('mqtt2:nobody', 8)
      await buffer.close()
      const again = await open(from)
      expect(new Set(again.receipts())).toEqual(new Set([receipt('mqtt1:x', 7, 'b'), receipt('mqtt2:x', 9, 'd')]))
    })

    test('dead letters are kept, listed and dropped by id', async () => {
      const from = begin()
      const buffer = await open(from)
      for (const text of ['one', 'two', 'three']) {
        await accept(buffer, message([], { deadLetter: { ...letter, payload: bytesOf(text) } }))
      }
      await buffer.close()
      const again = await open(from)
      const letters = await again.deadLetters(10)
      expect(letters.map(({ payload }) => new TextDecoder().decode(payload))).toEqual(['one', 'two', 'three'])
      expect(letters[0]).toMatchObject(letter)
      expect(await again.dropDeadLetters([letters[0]!.id, letters[2]!.id, 999])).toBe(2)
      expect((await again.deadLetters(10)).map(({ id }) => id)).toEqual([letters[1]!.id])
      expect(await again.stats()).toMatchObject({ deadLetters: 1, counters: { accepted: 3, deadLettered: 3 } })
    })

    test('accepted is the sum of what became of it, across restarts', async () => {
      const from = begin()
      const buffer = await open(from)
      await accept(buffer, message([reading('a', 1, 1), reading('b', 1, 1)], { maybeDuplicate: true }))
      await accept(buffer, message([reading('a', 2, 2)], { deadLetter: { ...letter, payload: bytesOf('x') } }))
      await buffer.seal(1, 'live')
      await buffer.acknowledge(buffer.epoch, 1)
      await buffer.close()
      const { counters, backlogReadings, sealedPending } = await (await open(from)).stats()
      expect(counters).toMatchObject({ accepted: 4, stored: 3, deadLettered: 1, evicted: 0, maybeDuplicate: 2 })
      expect(lawHolds(counters)).toBe(true)
      expect({ backlogReadings, sealedPending }).toEqual({ backlogReadings: 2, sealedPending: 0 })
    })

    test('a message with something that cannot be kept is refused whole and harms no other', async () => {
      const buffer = await open(begin())
      const long = 'x'.repeat(257)
      const bad = [
        message([reading('a', 1, 1), reading('a', 0.5, 1)]),
        message([reading('new', 1, 'lost'), reading(long, 1, 1)]),
        message([reading('a', 1, 'x'.repeat(4097))]),
        message([reading('a', 9, 9)], { receipt: { scope: 's', id: 1, digest: 'short' } }),
      ]
      const results = await Promise.allSettled([
        accept(buffer, message([reading('a', 1, 1)])),
        ...bad.map(one => accept(buffer, one)),
        accept(buffer, message([reading('b', 2, 'kept')])),
      ])
      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'rejected',
        'rejected',
        'rejected',
        'fulfilled',
      ])
      for (const result of results) {
        if (result.status === 'rejected') expect(isTributaryError(result.reason, 'malformed')).toBe(true)
      }
      expect(contents((await buffer.seal(10, 'live'))!.body)).toEqual([
        ['a', 1, 1, 0],
        ['b', 2, 'kept', 0],
      ])
      expect((await buffer.stats()).counters.accepted).toBe(2)
    })

    test('close commits what was accepted before it, and refuses what comes after', async () => {
      const from = begin()
      const buffer = await open(from)
      const before = accept(buffer, message([reading('a', 1, 1)]))
      await buffer.close()
      await before
      await expect(accept(buffer, message([reading('a', 2, 2)]))).rejects.toMatchObject({ code: 'storage' })
      expect((await (await open(from)).stats()).backlogReadings).toBe(1)
    })
  })
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
