/**
 * The identity of the machine's boot: readings stamped by a clock that nobody trusted yet are placed by boot and monotonic time.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** Linux gives every boot a UUID; elsewhere every start is taken for a boot of its own. */
export function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return randomUUID()
  }
}
