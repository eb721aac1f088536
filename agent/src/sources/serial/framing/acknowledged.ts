/**
 * Lines that are acknowledged: a line is answered by `ACK <n>` LF once it is stored.
 *
 *   <n> SP <payload> SP "*" <crc32>
 *
 * n: 1 to 4294967295 in decimal without leading zeros. crc32 (IEEE 802.3): 8 hex digits over "<n> <payload>". A line whose CRC
 * does not match was damaged on the way and gets no answer: the sender sends it again, same n, same bytes. A line that is sent
 * again is recognised among the last 64 that were stored (recent-lines.ts), so a sender may not send line n + 64 before line n is
 * acknowledged.
 */
import { crc32 } from 'node:zlib'
import type { Framing } from './framing.ts'

const maxNumber = 4_294_967_295
/** SP, asterisk and 8 digits. */
const trailerBytes = 10
const space = 0x20
const asterisk = 0x2a

export const acknowledged: Framing = {
  name: 'acknowledged',
  parse(line) {
    const end = line.length - trailerBytes
    const gap = line.subarray(0, 11).indexOf(space)
    if (gap < 1 || gap >= end || line[end] !== space || line[end + 1] !== asterisk) return null
    const digits = line.toString('latin1', end + 2)
    if (!/^[0-9a-f]{8}$/i.test(digits) || Number.parseInt(digits, 16) !== crc32(line.subarray(0, end))) return null
    const number = line.toString('latin1', 0, gap)
    if (!/^[1-9]\d{0,9}$/.test(number) || Number(number) > maxNumber) return null
    return { payload: line.subarray(gap + 1, end), number: Number(number) }
  },
}

/** What the sender of line `n` waits for. */
export function acknowledgement(n: number): string {
  return `ACK ${n}\n`
}
