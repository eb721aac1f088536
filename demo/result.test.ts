import { expect, test } from 'vitest'
import { type DemoResult, failures } from './result.ts'

const good: DemoResult = {
  startupMs: 1,
  sent: 10,
  acked: 10,
  stored: 10,
  lost: 0,
  duplicated: 0,
  serial: null,
  anomalies: 30,
  labelledWindows: 4,
  labelledFound: 3,
  falseAlarms: 20,
  bytesPerReading: 2,
  latencyMs: { p50: 1, p99: 2, p99WithoutCut: 1 },
}

test('a demo fails by each of its bounds alone', () => {
  expect(failures(good, true)).toEqual([])
  for (const bad of [{ lost: 1 }, { duplicated: 1 }, { labelledFound: 2 }, { falseAlarms: 21 }, { sent: 0 }])
    expect(failures({ ...good, ...bad }, true)).toHaveLength(1)
})

test('a demo that a person stopped early need not have found the failures, but may have lost nothing', () => {
  expect(failures({ ...good, labelledFound: 0 }, false)).toEqual([])
  expect(failures({ ...good, lost: 1 }, false)).toHaveLength(1)
})
