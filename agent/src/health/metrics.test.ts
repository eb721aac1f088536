import { expect, test } from 'vitest'
import { createMetrics } from './metrics.ts'
import { drainingStatus } from './test-status.ts'

test('a drain is told by lane', async () => {
  const text = await createMetrics(async () => drainingStatus).render()
  for (const line of [
    'buffer_backlog_readings 800',
    'readings_folded_total 0',
    'device_bytes_written_total 50000',
    'device_bytes_per_reading 50',
    'class_readings_total{class="raw",fate="accepted"} 1000',
    'class_readings_total{class="alarm",fate="evicted"} 0',
    'buffer_backlog_ranges 2',
    'buffer_oldest_seconds 1748779200',
    'batches_resealed_total 1',
    'uplink_lanes_apart 1',
    'clock_trusted 1',
    'clock_source{source="hub"} 1',
    'clock_source{source="ntp"} 0',
    'clock_trusted_since_seconds 1748779200',
    'clock_offset_seconds -0.02',
    'clock_error_seconds 0.004',
    'buffer_unplaced_readings 0',
    'uplink_credits 8',
    'uplink_drain_readings_per_second 12.4',
    'uplink_estimated_drain_seconds 64.516',
    'uplink_lane_unsealed_readings{lane="live"} 20',
    'uplink_lane_unsealed_readings{lane="backlog"} 700',
    'uplink_lane_in_flight{lane="backlog"} 4',
    'uplink_lane_readings_total{lane="live"} 60',
    'uplink_lane_batches_total{lane="backlog"} 9',
    'uplink_lane_bytes_total{lane="backlog"} 27000',
  ]) {
    expect(text).toContain(`tributary_agent_${line}\n`)
  }
})

test('a drain that does not move does not look finished; without an uplink there are no lanes', async () => {
  const { uplink, ...rest } = drainingStatus
  const stalled = { ...rest, uplink: uplink && { ...uplink, estimatedDrainMs: null } }
  expect(await createMetrics(async () => stalled).render()).toContain('estimated_drain_seconds -1\n')
  const off = await createMetrics(async () => ({ ...rest, uplink: null })).render()
  expect(off).not.toMatch(/uplink_lane_\w+\{/)
})
