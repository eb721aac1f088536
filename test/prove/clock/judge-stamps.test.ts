import { expect, test } from 'vitest'
import { type BootTruth, judgeStamps, type Stored } from './judge-stamps.ts'
import type { Sent } from './stamped-load.ts'

const boots: readonly BootTruth[] = [
  { startedMs: 0, trustedMs: 5000, endedTrustedMs: 9000 },
  { startedMs: 20_000, trustedMs: null, endedTrustedMs: null },
  { startedMs: 40_000, trustedMs: 45_000, endedTrustedMs: 60_000 },
]

function sent(n: number, boot: number, sentMs: number, ownUs: number | null = null): Sent {
  return { device: 'd', n, ownUs, sentMs, sentBoot: boot, ackedMs: sentMs + 100, ackedBoot: boot }
}

function row(n: number, ms: number, quality = 0): Stored {
  return { device: 'd', n, us: ms * 1000, quality }
}

const judge = (of: readonly Sent[], rows: readonly Stored[]) => judgeStamps(of, rows, boots)

test('what is right is right', () => {
  const of = [sent(1, 0, 6000), sent(2, 1, 25_000), sent(3, 2, 50_000), sent(4, 2, 51_000, 7)]
  const rows = [row(1, 6050), row(2, 39_000, 1), row(3, 49_500), { ...row(4, 0), us: 7 }]
  expect(judge(of, rows)).toMatchObject({ exact: 2, worstMs: 500, uncertain: 1, examples: [] })
})

test.each([
  ['lost', [sent(1, 0, 6000)], []],
  ['doubled', [sent(1, 0, 6000)], [row(1, 6000), row(1, 6000)]],
  ['wrongTime', [sent(1, 0, 6000)], [row(1, 7200)]],
  ['wrongTime', [sent(1, 0, 6000)], [row(1, 4900)]],
  ['wrongQuality', [sent(1, 0, 6000)], [row(1, 6000, 1)]],
  ['wrongQuality', [sent(1, 1, 25_000)], [row(1, 39_000)]],
  ['outsideInterval', [sent(1, 1, 25_000)], [row(1, 41_100, 1)]],
  ['outsideInterval', [sent(1, 1, 25_000)], [row(1, 3900, 1)]],
  ['disordered', [sent(1, 0, 6000), sent(2, 0, 6200)], [row(1, 6300), row(2, 6200)]],
  ['ownTimeChanged', [sent(1, 0, 6000, 7)], [row(1, 6000)]],
] as const)('%s is seen', (what, of, rows) => {
  expect(judge(of, rows)[what]).toBe(1)
})
