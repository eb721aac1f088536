/**
 * Which boot this is, and its clocks: what places a reading in time when the wall clock could not be trusted.
 *
 * A boot id plus a monotonic time names a moment for ever; the wall time of that moment may be learned later. Microseconds.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The kernel's UUID of this boot; where the kernel has none, a random one, so that every start counts as a boot of its own. */
export function readBootId(path = '/proc/sys/kernel/random/boot_id'): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch {
    return randomUUID()
  }
  return uuid.test(text) ? text : randomUUID()
}

export interface ClockMapping {
  /** Since the machine's start (Linux: CLOCK_MONOTONIC), the same for every process of one boot. */
  readonly monotonicUs: number
  /** Since 1970 UTC, as the machine believes. */
  readonly wallUs: number
}

/** Both clocks, read as one moment. */
export function readClocks(): ClockMapping {
  return { monotonicUs: Number(process.hrtime.bigint() / 1000n), wallUs: Date.now() * 1000 }
}
