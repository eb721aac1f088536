/**
 * The two framings of a line-speaking device.
 *
 *   lines         <payload> LF
 *   acknowledged  <n> SP <payload> SP *<crc32> LF        answered by   ACK SP <n> LF
 *
 * n: 1 to 4294967295 in decimal, counting the device's frames, 1 again after the last. crc32 (IEEE 802.3, 8 lower-case hex
 * digits) over "<n> <payload>". A payload holds no line end.
 */
import { crc32 } from 'node:zlib'
import { TributaryError } from '@tributary/shared/errors'

export const serialFramings = ['lines', 'acknowledged'] as const
export type SerialFraming = (typeof serialFramings)[number]

export const maxFrameNumber = 4_294_967_295
/** `ACK 4294967295`; a longer line is noise. */
const maxAckLength = 14

export function encodeLine(payload: Uint8Array): Buffer {
  checkPayload(payload)
  return Buffer.concat([payload, Buffer.from('\n')])
}

export function encodeFrame(n: number, payload: Uint8Array): Buffer {
  checkPayload(payload)
  const body = Buffer.concat([Buffer.from(`${n} `), payload])
  return Buffer.concat([body, Buffer.from(` *${crc32(body).toString(16).padStart(8, '0')}\n`)])
}

function checkPayload(payload: Uint8Array): void {
  if (payload.includes(0x0a) || payload.includes(0x0d))
    throw new TributaryError('malformed', 'a payload on a serial line holds a line end')
}

/** Calls back with the n of every `ACK n` line in the bytes fed to it; everything else is noise and skipped. */
export function createAckReader(onAck: (n: number) => void): (bytes: Uint8Array) => void {
  let line = ''
  return bytes => {
    for (const byte of bytes) {
      if (byte === 0x0d) continue
      if (byte !== 0x0a) {
        if (line.length <= maxAckLength) line += String.fromCharCode(byte)
        continue
      }
      const n = Number(/^ACK ([1-9]\d{0,9})$/.exec(line)?.[1] ?? 0)
      line = ''
      if (n >= 1 && n <= maxFrameNumber) onAck(n)
    }
  }
}
