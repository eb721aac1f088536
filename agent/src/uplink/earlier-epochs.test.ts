import { expect, test } from 'vitest'
import type { EpochFloor } from '../buffer/buffer.ts'
import { EarlierEpochs } from './earlier-epochs.ts'

function looking(floors: readonly EpochFloor[], hub: Record<number, number>) {
  const asked: (readonly number[])[] = []
  const lost: number[][] = []
  const at = { ms: 0, highestSent: 5, fails: false }
  const earlier = new EarlierEpochs({
    floors: async () => floors,
    highestSent: () => at.highestSent,
    ask: async epochs => {
      asked.push(epochs)
      if (at.fails) throw new Error('no hub')
      return new Map(Object.entries(hub).map(([epoch, settled]) => [Number(epoch), settled]))
    },
    lost: async (epoch, fromSeq) => void lost.push([epoch, fromSeq]),
    monotonicMs: () => at.ms,
  })
  return { earlier, asked, lost, at }
}

test('the hub is asked once it has stored what was sent later, and what it lacks is lost', async () => {
  const { earlier, asked, lost } = looking(
    [
      { epoch: 1, floor: 10 },
      { epoch: 2, floor: 20 },
    ],
    { 1: 4, 2: 20 },
  )
  await earlier.acknowledged(3, 4)
  await earlier.acknowledged(3, 5)
  expect(asked).toEqual([])
  await earlier.acknowledged(3, 6)
  expect(asked).toEqual([[1, 2]])
  expect(lost).toEqual([[1, 4]])
})

test('batches of before the start say nothing; the running epoch does', async () => {
  const { earlier, asked } = looking([{ epoch: 1, floor: 10 }], { 1: 10 })
  for (const reached of [5, 9]) await earlier.acknowledged(1, reached)
  expect(asked).toEqual([])
  for (const reached of [0, 6]) await earlier.acknowledged(3, reached)
  expect(asked).toEqual([[1]])
})

test('it is looked at again after ten minutes, and at once when the hub was away; a hub that does not tell stops nothing', async () => {
  const { earlier, asked, at } = looking([{ epoch: 1, floor: 10 }], { 1: 10 })
  at.fails = true
  await earlier.acknowledged(3, 0)
  await expect(earlier.acknowledged(3, 6)).rejects.toThrow('no hub')
  at.fails = false
  for (const reached of [7, 8]) await earlier.acknowledged(3, reached)
  expect(asked).toHaveLength(1)
  earlier.hubReturned()
  for (const reached of [7, 8]) await earlier.acknowledged(3, reached)
  expect(asked).toHaveLength(2)
  at.ms = 600_000
  for (const reached of [7, 8]) await earlier.acknowledged(3, reached)
  expect(asked).toHaveLength(3)
})
