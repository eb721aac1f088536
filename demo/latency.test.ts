import { expect, test } from 'vitest'
import { latencyQuantile } from './latency.ts'

const found = (takenMs: number, latencyMs: number) => ({ takenMs, latencyMs })

test('quantiles are by nearest rank, and null before the first reading', () => {
  expect(latencyQuantile([], 0.5, [])).toBeNull()
  const all = Array.from({ length: 100 }, (_, i) => found(i, i + 1))
  expect(latencyQuantile(all, 0.5, [])).toBe(50)
  expect(latencyQuantile(all, 0.99, [])).toBe(99)
})

test('a disturbance takes out what was taken until all of its own readings were found', () => {
  const cut = { fromMs: 100, untilMs: 200 }
  const all = [found(99, 1), found(100, 500), found(200, 7), found(600, 9), found(601, 2)]
  expect(latencyQuantile(all, 1, [cut])).toBe(2)
  expect(latencyQuantile(all, 1, [])).toBe(500)
})
