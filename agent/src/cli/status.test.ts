import { expect, test } from 'vitest'
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
