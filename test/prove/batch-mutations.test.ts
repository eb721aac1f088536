import { randomInt } from 'node:crypto'
import { decodeBatch, encodeBatch } from '@tributary/shared/batch/codec'
import { expect, test } from 'vitest'
import { toJson } from '../golden/golden.ts'
import { brokenPromise, mutate, seededRandom, tryDecode } from './batch-mutations.ts'

test('20,000 damaged batches end in a typed error or in a batch that keeps every promise', () => {
  const seed = randomInt(2 ** 32)
  const random = seededRandom(seed)
  for (let n = 0; n < 20_000; n++) {
    const { body, target } = mutate(random)
    const outcome = tryDecode(body, true)
    const where = `mutation ${n} of seed ${seed}`
    if (outcome.kind === 'broken') expect.fail(`${where}: ${outcome.error}`)
    if (outcome.kind !== 'decoded') continue
    expect(target, `${where}: a damaged body was accepted`).toBe('content')
    expect(brokenPromise(outcome.batch), where).toBeNull()
    expect(toJson(decodeBatch(encodeBatch(outcome.batch))), where).toEqual(toJson(outcome.batch))
  }
})

test('without the CRC damaged bodies are taken for other batches', () => {
  const random = seededRandom(1)
  let accepted = 0
  for (let n = 0; n < 2000; n++) {
    const { body, target } = mutate(random)
    if (target === 'body' && tryDecode(body, false).kind === 'decoded') accepted++
  }
  expect(accepted).toBeGreaterThan(0)
})
