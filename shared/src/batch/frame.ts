/**
 * The outside of a batch body: magic, version, CRC-32 and one zstd frame around the content (`body` in codec.ts's layout comment).
 *
 * The version stands outside the compression, so that a later layout is refused clearly. The CRC covers content and frame, so that
 * every flipped bit of a body is found, also one that zstd would not notice. Inflating is bounded in output and in window.
 */
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { messageOf, TributaryError } from '../errors.ts'
import { batchLimits } from '../protocol.ts'

/** "TRB". */
const magic = [0x54, 0x52, 0x42] as const
export const layoutVersion = 2
/** Layouts that are read: the agents of a release before still send the older one. */
export type Layout = 1 | typeof layoutVersion
const frameOffset = 8

const compression = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
/** 2^25 = 32 MiB, the largest content. */
const maxWindowLog = 25

export interface FrameLimits {
  readonly bodyBytes: number
  readonly inflatedBytes: number
}

export interface Unwrapped {
  readonly layout: Layout
  readonly content: Uint8Array
}

/** Wrap content into a body. Throws `too-large` when the other side would refuse it. */
export function wrap(content: Uint8Array, layout: Layout = layoutVersion): Uint8Array {
  checkSize(content.length, batchLimits.inflatedBytes, 'content')
  const frame = zstdCompressSync(content, compression)
  checkSize(frameOffset + frame.length, batchLimits.bodyBytes, 'body')
  const body = new Uint8Array(frameOffset + frame.length)
  body.set(magic)
  body[3] = layout
  new DataView(body.buffer).setUint32(4, crc32(frame, crc32(content)), true)
  body.set(frame, frameOffset)
  return body
}

/** The content of a body and its layout. Without `checkCrc`, which is there to prove that the check is needed, damage goes unseen. */
export function unwrap(body: Uint8Array, limits: FrameLimits, checkCrc = true): Unwrapped {
  checkSize(body.length, limits.bodyBytes, 'body')
  if (body.length < frameOffset || magic.some((byte, i) => body[i] !== byte)) {
    throw new TributaryError('malformed', 'body is not a batch: it does not begin with "TRB"')
  }
  const layout = body[3]
  if (layout !== 1 && layout !== layoutVersion) {
    throw new TributaryError(
      'unsupported-version',
      `batch has layout version ${layout}, this program reads versions 1 to ${layoutVersion}`,
      { hint: 'update the older side' },
    )
  }
  const frame = body.subarray(frameOffset)
  const content = inflate(frame, limits.inflatedBytes)
  const expected = new DataView(body.buffer, body.byteOffset).getUint32(4, true)
  if (checkCrc && crc32(frame, crc32(content)) !== expected) {
    throw new TributaryError('malformed', 'batch is damaged: its CRC-32 does not match its content')
  }
  return { layout, content }
}

function checkSize(bytes: number, limit: number, what: string): void {
  if (bytes > limit) throw new TributaryError('too-large', `batch ${what} is ${bytes} bytes, at most ${limit} allowed`)
}

function inflate(frame: Uint8Array, maxBytes: number): Uint8Array {
  try {
    return zstdDecompressSync(frame, {
      maxOutputLength: maxBytes,
      params: { [constants.ZSTD_d_windowLogMax]: maxWindowLog },
    })
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw new TributaryError('too-large', `batch inflates to more than ${maxBytes} bytes`, { cause })
    }
    throw new TributaryError('malformed', `batch is damaged: zstd says ${messageOf(cause)}`, { cause })
  }
}
