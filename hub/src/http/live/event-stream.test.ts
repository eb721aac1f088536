import { expect, test } from 'vitest'
import { EventStream, eventBytes, maxBacklog } from './event-stream.ts'

test('an event is one line of name and one of JSON', () => {
  expect(eventBytes('points', { text: 'a\nb' }).toString()).toBe('event: points\ndata: {"text":"a\\nb"}\n\n')
})

test('a reader may be as far behind as the bound says, and no further', async () => {
  let gone = 0
  const stream = new EventStream(() => gone++)
  expect(stream.send(new Uint8Array(maxBacklog - 1))).toBe(true)
  expect(stream.send(new Uint8Array(500))).toBe(true)
  expect(stream.send(new Uint8Array(1))).toBe(false)
  expect(gone).toBe(0)
  const reader = stream.body.getReader()
  await reader.read()
  expect(stream.send(new Uint8Array(1))).toBe(true)
})

test('an event longer than the bound reaches a reader that keeps up', async () => {
  const stream = new EventStream(() => undefined)
  expect(stream.send(new Uint8Array(3 * maxBacklog))).toBe(true)
  expect(stream.send(new Uint8Array(1))).toBe(false)
  expect((await stream.body.getReader().read()).value).toHaveLength(3 * maxBacklog)
})

test('an end lets what is on its way arrive, and is told once', async () => {
  let gone = 0
  const stream = new EventStream(() => gone++)
  stream.send(Buffer.from('last'))
  stream.end()
  stream.end()
  expect(gone).toBe(1)
  expect(stream.send(Buffer.from('more'))).toBe(false)
  const reader = stream.body.getReader()
  expect((await reader.read()).value).toEqual(Buffer.from('last'))
  expect((await reader.read()).done).toBe(true)
})

test('a reader that leaves is gone', async () => {
  let gone = 0
  const stream = new EventStream(() => gone++)
  await stream.body.cancel()
  stream.end()
  expect(gone).toBe(1)
  expect(stream.send(Buffer.from('more'))).toBe(false)
})
