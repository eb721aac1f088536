/**
 * What this process made the kernel write to its devices since it started: `write_bytes` of /proc/self/io. It counts pages when they become
 * dirty, of whatever file, so that on flash it is what leaves the program, before the file system's journal and the card's own
 * amplification. Null where the kernel does not tell (no Linux, or forbidden).
 */
import { readFileSync } from 'node:fs'

export function deviceBytesWritten(): number | null {
  try {
    const found = /^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))
    return found ? Number(found[1]) : null
  } catch {
    return null
  }
}
