import { expect, test } from 'vitest'
import { uplinkConfig } from './uplink-config.ts'

test('the defaults are within their bounds', () => {
  expect(uplinkConfig()).toMatchObject({
    hub: null,
    insecure: false,
    maxReadings: 1000,
    lingerMs: 200,
    backoff: { baseMs: 500, capMs: 60_000 },
  })
})

test.each([
  [{ maxReadings: 0 }, 'hub.maxReadings is 0'],
  [{ maxReadings: 100_001 }, 'between 1 and 100000'],
  [{ lingerMs: -1 }, 'hub.lingerMs is -1'],
  [{ maxInFlight: 65 }, 'hub.maxInFlight is 65'],
  [{ maxBytesPerS: 999 }, 'hub.maxBytesPerS is 999'],
  [{ backoff: { baseMs: 500, capMs: 100 } }, 'hub.backoff.capMs is 100; it must be between 500'],
  [{ maxHeld: Number.NaN }, 'hub.maxHeld is NaN'],
])('%j is refused', (given, message) => {
  expect(() => uplinkConfig(given)).toThrow(
    expect.objectContaining({ code: 'config', message: expect.stringContaining(message) }),
  )
})

test('values at their bounds are taken', () => {
  expect(uplinkConfig({ maxReadings: 100_000, lingerMs: 0, maxInFlight: 64, maxHeld: 1 }).maxReadings).toBe(100_000)
})
