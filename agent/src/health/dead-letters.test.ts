import { Quality } from '@tributary/shared/reading'
import { expect, test } from 'vitest'
import type { Message, StoredDeadLetter } from '../buffer/buffer.ts'
import { createDecoder } from '../decode/decoder.ts'
import { createDeadLetters } from './dead-letters.ts'

const decoder = createDecoder({ routes: [], maxPayloadBytes: 1000 })

function lettersOf(payload: string, arrival?: StoredDeadLetter['arrival']) {
  const text = {
    id: 1,
    source: 'mqtt',
    origin: 'sensors/a/b',
    reason: 'r',
    receivedAtUs: 7,
    ...(arrival && { arrival }),
  }
  const held = [{ ...text, payload: Buffer.from(payload) }]
  const accepted: Message[] = []
  const buffer = {
    accept(message: Message, done: (error: null) => void) {
      accepted.push(message)
      done(null)
    },
    deadLetters: async () => [...held],
    async dropDeadLetters() {
      return held.splice(0).length
    },
  }
  return { letters: createDeadLetters(buffer, decoder, () => null), accepted, held }
}

test('a letter is replayed with its time of arrival, and dropped', async () => {
  const { letters, accepted, held } = lettersOf('3')
  expect(await letters.replay([1])).toEqual({ replayed: 1, readings: 1, failed: [] })
  expect(accepted[0]?.readings).toMatchObject([{ tsUs: 7, value: 3, quality: Quality.good }])
  expect(held).toEqual([])
})

test('one whose time of arrival is not known yet stays, unless it brings a time of its own', async () => {
  const { letters, held } = lettersOf('3', 'unplaced')
  expect(await letters.replay([1])).toMatchObject({
    replayed: 0,
    failed: [{ id: 1, reason: expect.stringContaining('not known yet') }],
  })
  expect(held).toHaveLength(1)
  const own = lettersOf('{"value":3,"ts":1760000000}', 'unplaced')
  expect(await own.letters.replay([1])).toMatchObject({ replayed: 1 })
  expect(own.accepted[0]?.readings[0]?.tsUs).toBe(1_760_000_000e6)
})

test('one whose time of arrival is uncertain gives uncertain readings; what was told worse stays so', async () => {
  const { letters, accepted } = lettersOf('{"value":3}', 'uncertain')
  await letters.replay([1])
  expect(accepted[0]?.readings[0]).toMatchObject({ tsUs: 7, quality: Quality.uncertain })
  const bad = lettersOf('{"value":3,"quality":"bad"}', 'uncertain')
  await bad.letters.replay([1])
  expect(bad.accepted[0]?.readings[0]?.quality).toBe(Quality.bad)
})
