import { expect, test } from 'vitest'
import { type Counters, changed } from '../buffer/counters.ts'
import { drainingStatus } from '../health/test-status.ts'
import { describeStatus } from './status.ts'

test('a drain says what waits since when, how fast it leaves, how long it will take, and in which order', () => {
  const lines = describeStatus(drainingStatus)
  expect(lines).toContain(
    'backlog    800 readings, oldest 2025-06-01T12:00:00.000Z; 12 readings/s, about 65s left; live first, 8 backlog batches at once; sent 60 live + 9000 backlog',
  )
  expect(lines.join('\n')).toContain('resealed   1 batches')
  expect(lines.join('\n')).toContain('sending to https://hub through http://proxy:3128;')
})

test('the readings are told as the sum that they are, by class where there is more than raw', () => {
  const { buffer } = drainingStatus
  const readings = (counters: Counters) =>
    describeStatus({ ...drainingStatus, buffer: { ...buffer, counters } }).filter(line => /^(readings| )/.test(line))
  const one = '1000 accepted = 1000 stored + 0 folded + 0 suppressed'
  expect(readings(buffer.counters)).toEqual([`readings   ${one} + 0 dead-lettered + 0 evicted; 0 maybe twice`])
  const alarm = { accepted: 7, stored: 4, folded: 0, suppressed: 2, evicted: 1 }
  expect(readings(changed(buffer.counters, 'alarm', alarm))).toEqual([
    'readings   1007 accepted = 1004 stored + 0 folded + 2 suppressed + 0 dead-lettered + 1 evicted; 0 maybe twice',
    `  raw       ${one} + 0 evicted`,
    '  alarm     7 accepted = 4 stored + 0 folded + 2 suppressed + 1 evicted',
  ])
})

test('the clock tells by whom it is trusted, and what waits for it', () => {
  const clockLine = (status: typeof drainingStatus) => describeStatus(status).find(line => line.startsWith('clock'))
  expect(clockLine(drainingStatus)).toBe(
    'clock      trusted since 2025-06-01T12:00:00.000Z, by hub, to 4 ms; this machine is 20 ms ahead',
  )
  const clock = { ...drainingStatus.clock, trusted: false, source: null, trustedSinceMs: null, offsetMs: null }
  const buffer = { ...drainingStatus.buffer, unplacedReadings: 7 }
  expect(clockLine({ ...drainingStatus, clock, buffer })).toBe(
    'clock      no time is trusted yet: readings without one are kept, and placed later; 7 readings wait for their place in time',
  )
  expect(clockLine({ ...drainingStatus, clock: { ...drainingStatus.clock, offsetMs: 3600_000 } })).toContain(
    'is 1h behind',
  )
})

test('a long time left is told in minutes; when nothing leaves, that', () => {
  const { uplink } = drainingStatus
  const after = (estimatedDrainMs: number | null) =>
    describeStatus({ ...drainingStatus, uplink: uplink && { ...uplink, estimatedDrainMs, apart: false } }).join('\n')
  expect(after(3 * 3600_000 + 1)).toContain('about 181m left; in order;')
  expect(after(null)).toContain('nothing leaves')
})

test('with everything at the hub there is no line about a backlog', () => {
  const { uplink, buffer } = drainingStatus
  const idle = {
    ...drainingStatus,
    buffer: { ...buffer, resealedBatches: 0 },
    uplink: uplink && { ...uplink, backlogReadings: 0 },
  }
  expect(describeStatus(idle).filter(line => /^(backlog|resealed)/.test(line))).toEqual([])
})
