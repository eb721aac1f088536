/**
 * The log record of a batch: what ingest decided, once, and the batch bytes as received. Consumers obey the verdict and never
 * judge again, so that a replay of the log gives the same rows.
 */
import { createHash } from 'node:crypto'
import { TributaryError } from '@tributary/shared/errors'
import { batchLimits, type Lane, type RejectReason, rejectReasons } from '@tributary/shared/protocol'

export interface Envelope {
  readonly receivedAtMs: number
  /** The hub's serial number of the agent (agent.agent_no). */
  readonly agentNo: number
  readonly lane: Lane
  /** As sent in `tributary-floor`. */
  readonly floor: number
  /** Version of the judging rules. */
  readonly ruleVersion: number
  /** Index in the batch → reason; readings and aggregates not in it are accepted. */
  readonly rejected: ReadonlyMap<number, RejectReason>
  /** SHA-256 of `batch`. */
  readonly digest: Uint8Array
  /** The encoded batch as received. */
  readonly batch: Uint8Array
}

/*
 * Layout, little endian:
 *   0  u8   layout version, 2; 1, which counts readings alone among what is rejected, is read too
 *   1  u8   lane: 0 live, 1 backlog
 *   2  u16  rule version
 *   4  u32  agent number
 *   8  u64  received at, ms since 1970
 *  16  u64  floor
 *  24  32 B SHA-256 of the batch
 *  56  u32  rejected readings and aggregates, n
 *  60  u32  bytes of the rejected section
 *  64  n times: LEB128 of (index − previous index − 1; the first: index), u8 reason (place in `rejectReasons`)
 *   …  the batch as received
 */
const version = 2
/** One more than the largest index of each layout. */
const indexes = { 1: batchLimits.readings, [version]: batchLimits.readings + batchLimits.aggregates } as const
const headerBytes = 64

/** Throws `unprocessable` when a field is outside what the layout holds. */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const section = encodeRejected(envelope.rejected)
  const bytes = Buffer.alloc(headerBytes + section.length + envelope.batch.length)
  bytes.writeUInt8(version, 0)
  bytes.writeUInt8(envelope.lane === 'live' ? 0 : 1, 1)
  bytes.writeUInt16LE(envelope.ruleVersion, 2)
  bytes.writeUInt32LE(envelope.agentNo, 4)
  bytes.writeBigUInt64LE(BigInt(envelope.receivedAtMs), 8)
  bytes.writeBigUInt64LE(BigInt(envelope.floor), 16)
  if (envelope.digest.length !== 32) throw new TributaryError('unprocessable', 'an envelope needs a digest of 32 bytes')
  bytes.set(envelope.digest, 24)
  bytes.writeUInt32LE(envelope.rejected.size, 56)
  bytes.writeUInt32LE(section.length, 60)
  bytes.set(section, headerBytes)
  bytes.set(envelope.batch, headerBytes + section.length)
  return bytes
}

/** The reverse. Throws `unsupported-version`, `too-large`, or `malformed` (also when the digest is not the batch's). */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.length < headerBytes) throw malformed(`${view.length} bytes are too short`)
  const layout = view.readUInt8(0)
  if (layout !== 1 && layout !== version) {
    throw new TributaryError('unsupported-version', `envelope layout ${layout}, this build reads 1 to ${version}`)
  }
  const lane = view.readUInt8(1)
  if (lane > 1) throw malformed(`lane ${lane}`)
  const count = view.readUInt32LE(56)
  const batchAt = headerBytes + view.readUInt32LE(60)
  if (batchAt > view.length || count > batchAt - headerBytes) throw malformed('the rejected section does not fit')
  const batch = view.subarray(batchAt)
  if (batch.length > batchLimits.bodyBytes)
    throw new TributaryError('too-large', `envelope with a batch of ${batch.length} bytes`)
  const digest = view.subarray(24, 56)
  if (!createHash('sha256').update(batch).digest().equals(digest))
    throw malformed('the digest is not that of the batch')
  return {
    receivedAtMs: safeInteger(view.readBigUInt64LE(8)),
    agentNo: view.readUInt32LE(4),
    lane: lane === 0 ? 'live' : 'backlog',
    floor: safeInteger(view.readBigUInt64LE(16)),
    ruleVersion: view.readUInt16LE(2),
    rejected: decodeRejected(view.subarray(headerBytes, batchAt), count, indexes[layout]),
    digest,
    batch,
  }
}

function encodeRejected(rejected: ReadonlyMap<number, RejectReason>): Buffer {
  const bytes: number[] = []
  let next = 0
  for (const [index, reason] of [...rejected].sort(([a], [b]) => a - b)) {
    if (index < next || index >= indexes[version]) throw new TributaryError('unprocessable', `rejected index ${index}`)
    let gap = index - next
    while (gap > 127) {
      bytes.push((gap & 127) | 128)
      gap >>>= 7
    }
    bytes.push(gap, rejectReasons.indexOf(reason))
    next = index + 1
  }
  return Buffer.from(bytes)
}

function decodeRejected(section: Buffer, count: number, indexEnd: number): Map<number, RejectReason> {
  const rejected = new Map<number, RejectReason>()
  let at = 0
  let next = 0
  for (let entry = 0; entry < count; entry++) {
    let gap = 0
    for (let shift = 0; ; shift += 7) {
      const byte = section[at++]
      if (byte === undefined || shift > 14) throw malformed('a rejected index is not a number of at most 3 bytes')
      gap |= (byte & 127) << shift
      if (byte < 128) break
    }
    const index = next + gap
    const reason = rejectReasons[section[at++] ?? 255]
    if (reason === undefined || index >= indexEnd) throw malformed(`rejected index ${index}`)
    rejected.set(index, reason)
    next = index + 1
  }
  if (at !== section.length) throw malformed('the rejected section has bytes left over')
  return rejected
}

function safeInteger(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`${value} is not a safe integer`)
  return Number(value)
}

function malformed(what: string): TributaryError {
  return new TributaryError('malformed', `not an envelope: ${what}`)
}
