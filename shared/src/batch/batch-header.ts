/** The header section of a batch: identity, clocks, counters, ledger, and how much follows (`header` in codec.ts's layout comment). */
import { TributaryError } from '../errors.ts'
import type { BatchHeader, Counters, LossRange } from './batch.ts'
import type { ByteReader } from './byte-reader.ts'
import { malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { integerField } from './byte-writer.ts'
import { agentBounds, bootBounds, readString, reasonBounds, writeString } from './string-table.ts'

/** Most ledger ranges in one batch. */
export const maxLosses = 10_000

const maxEpoch = 2 ** 48 - 1
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const counterNames = ['accepted', 'stored', 'suppressed', 'deadLettered', 'evicted', 'maybeDuplicate'] as const

/** A header and the totals that stand beside it. */
export interface BatchSummary {
  readonly header: BatchHeader
  readonly series: number
  readonly readings: number
}

export function writeHeader(out: ByteWriter, { header, series, readings }: BatchSummary): void {
  writeString(out, header.agentId, agentBounds)
  out.uvarint(epochField(header.epoch, malformedField))
  out.uvarint(integerField(header.seq, 'seq', 1))
  out.uvarint(series)
  out.uvarint(readings)
  const isUuid = uuid.test(header.bootId)
  out.u8(isUuid ? 1 : 0)
  if (isUuid) out.raw(Buffer.from(header.bootId.replaceAll('-', ''), 'hex'))
  else writeString(out, header.bootId, bootBounds)
  out.svarint(integerField(header.monotonicUs, 'monotonicUs'))
  out.svarint(integerField(header.wallUs, 'wallUs'))
  for (const name of counterNames) out.uvarint(integerField(header.counters[name], name, 0))
  if (header.losses.length > maxLosses) {
    throw new TributaryError(
      'too-large',
      `batch holds ${header.losses.length} ledger ranges, at most ${maxLosses} allowed`,
    )
  }
  out.uvarint(header.losses.length)
  for (const loss of header.losses) writeLoss(out, loss)
}

function writeLoss(out: ByteWriter, loss: LossRange): void {
  out.uvarint(integerField(loss.epoch, 'epoch of a loss', 0))
  out.uvarint(integerField(loss.fromSeq, 'fromSeq of a loss', 0))
  out.uvarint(integerField(loss.toSeq, 'toSeq of a loss', 0))
  out.uvarint(integerField(loss.readings, 'readings of a loss', 0))
  out.u8(loss.exact ? 1 : 0)
  writeString(out, loss.reason, reasonBounds)
}

export function readHeader(source: ByteReader): BatchSummary {
  const agentId = readString(source, agentBounds)
  const epoch = epochField(source.uvarint(), malformed)
  const seq = source.uvarint()
  if (seq < 1) throw malformed('seq is 0')
  const series = source.uvarint()
  const readings = source.uvarint()
  const bootId = readFlag(source, 'form of the boot id') ? formatUuid(source.take(16)) : readString(source, bootBounds)
  const monotonicUs = source.svarint()
  const wallUs = source.svarint()
  const counters: Counters = {
    accepted: source.uvarint(),
    stored: source.uvarint(),
    suppressed: source.uvarint(),
    deadLettered: source.uvarint(),
    evicted: source.uvarint(),
    maybeDuplicate: source.uvarint(),
  }
  const count = source.uvarint()
  if (count > maxLosses)
    throw new TributaryError('too-large', `batch holds ${count} ledger ranges, at most ${maxLosses} allowed`)
  const losses: LossRange[] = []
  for (let i = 0; i < count; i++) losses.push(readLoss(source))
  return { header: { agentId, epoch, seq, bootId, monotonicUs, wallUs, counters, losses }, series, readings }
}

function readLoss(source: ByteReader): LossRange {
  return {
    epoch: source.uvarint(),
    fromSeq: source.uvarint(),
    toSeq: source.uvarint(),
    readings: source.uvarint(),
    exact: readFlag(source, 'exactness of a loss'),
    reason: readString(source, reasonBounds),
  }
}

function readFlag(source: ByteReader, what: string): boolean {
  const byte = source.u8()
  if (byte > 1) throw malformed(`${what} is ${byte}, not 0 or 1`)
  return byte === 1
}

function epochField(epoch: number, refuse: (what: string) => TributaryError): number {
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > maxEpoch) throw refuse(`epoch is ${epoch}, not 1 … 2^48 − 1`)
  return epoch
}

function malformedField(what: string): TributaryError {
  return new TributaryError('malformed', `batch cannot be encoded: ${what}`)
}

function formatUuid(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
