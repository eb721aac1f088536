/**
 * Which boot of the machine this is: a boot id and a time of that boot's clock (boot-clock.ts) name a moment for ever; where it
 * stands in time may be learned later.
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
