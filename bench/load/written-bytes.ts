/**
 * Bytes that this process made the kernel write to a block device: `write_bytes` of /proc/self/io, counted by whole pages of 4 KiB as
 * they become dirty, all threads together. After every fsync a page counts again when it is written to again, as it does for the
 * flash below. What the file system writes for itself (its journal) is not in it.
 */
import { readFileSync } from 'node:fs'

export function writtenBytes(): number {
  const found = /^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))
  return Number(found?.[1])
}
