import { createHash } from 'node:crypto'
import { batchLimits, type RejectReason } from '@tributary/shared/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeEnvelope, type Envelope, encodeEnvelope } from './envelope.ts'

const reasons: RejectReason[] = [
  'non-finite',
  'future',
  'before-2000',
  'cardinality',
  'name',
  'string-too-long',
  'window',
]
const envelopes: fc.Arbitrary<Envelope> = fc
  .record({
    receivedAtMs: fc.maxSafeNat(),
    agentNo: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    lane: fc.constantFrom('live' as const, 'backlog' as const),
    floor: fc.maxSafeNat(),
    ruleVersion: fc.integer({ min: 0, max: 65_535 }),
    rejected: fc
      .dictionary(
        fc.integer({ min: 0, max: batchLimits.readings + batchLimits.aggregates - 1 }).map(String),
        fc.constantFrom(...reasons),
      )
      .map(entries => new Map(Object.entries(entries).map(([index, reason]) => [Number(index), reason]))),
    batch: fc.uint8Array({ maxLength: 200 }),
  })
  .map(envelope => ({ ...envelope, digest: createHash('sha256').update(envelope.batch).digest() }))

const plain = (envelope: Envelope) => ({
  ...envelope,
  digest: Buffer.from(envelope.digest).toString('hex'),
  batch: Buffer.from(envelope.batch).toString('hex'),
  rejected: [...envelope.rejected].sort(([a], [b]) => a - b),
})

test('an envelope comes back as it was, in two bytes a rejected reading', () => {
  fc.assert(
    fc.property(envelopes, envelope => {
      expect(plain(decodeEnvelope(encodeEnvelope(envelope)))).toEqual(plain(envelope))
    }),
  )
  const rejected = new Map(Array.from({ length: 1000 }, (_, index) => [index, 'future' as const]))
  const envelope = { ...sample(), rejected }
  expect(encodeEnvelope(envelope).length).toBe(encodeEnvelope(sample()).length + 2000)
})

test('cut, changed or foreign bytes are refused as malformed, never as anything else', () => {
  fc.assert(
    fc.property(envelopes, fc.nat(), fc.integer({ min: 1, max: 255 }), (envelope, place, flip) => {
      const bytes = encodeEnvelope(envelope)
      const cut = bytes.subarray(0, place % bytes.length)
      expect(() => decodeEnvelope(cut)).toThrow(expect.objectContaining({ name: 'TributaryError' }))
      const changed = Buffer.from(bytes)
      changed[place % bytes.length]! ^= flip
      try {
        decodeEnvelope(changed)
      } catch (error) {
        expect(error).toMatchObject({ name: 'TributaryError' })
      }
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      expect(() => decodeEnvelope(bytes)).toThrow(expect.objectContaining({ name: 'TributaryError' }))
    }),
  )
})

test('a changed batch does not pass its digest', () => {
  const bytes = encodeEnvelope(sample())
  bytes[bytes.length - 1]! ^= 1
  expect(() => decodeEnvelope(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('the largest batch fits, one byte more does not', () => {
  const sized = (length: number) => {
    const batch = new Uint8Array(length)
    return encodeEnvelope({ ...sample(), batch, digest: createHash('sha256').update(batch).digest() })
  }
  expect(decodeEnvelope(sized(batchLimits.bodyBytes)).batch.length).toBe(batchLimits.bodyBytes)
  expect(() => decodeEnvelope(sized(batchLimits.bodyBytes + 1))).toThrow(expect.objectContaining({ code: 'too-large' }))
})

test('a count that claims more entries than there are bytes is refused before any is read', () => {
  const bytes = Buffer.from(encodeEnvelope(sample()))
  bytes.writeUInt32LE(0xffff_ffff, 56)
  expect(() => decodeEnvelope(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('a record of layout 1 is read as it was written', () => {
  const envelope = { ...sample(), rejected: new Map([[batchLimits.readings - 1, 'string-nul' as const]]) }
  const older = Buffer.from(encodeEnvelope(envelope))
  older[0] = 1
  expect(plain(decodeEnvelope(older))).toEqual(plain(envelope))
})

test('an index behind the readings is an aggregate, which layout 1 does not know', () => {
  const rejected = new Map([[batchLimits.readings, 'aggregate' as const]])
  const bytes = Buffer.from(encodeEnvelope({ ...sample(), rejected }))
  expect(decodeEnvelope(bytes).rejected).toEqual(rejected)
  bytes[0] = 1
  expect(() => decodeEnvelope(bytes)).toThrow(expect.objectContaining({ code: 'malformed' }))
  const beyond = new Map([[batchLimits.readings + batchLimits.aggregates, 'aggregate' as const]])
  expect(() => encodeEnvelope({ ...sample(), rejected: beyond })).toThrow(
    expect.objectContaining({ code: 'unprocessable' }),
  )
})

test('a later layout is refused as such', () => {
  const bytes = Buffer.from(encodeEnvelope(sample()))
  bytes[0] = 3
  expect(() => decodeEnvelope(bytes)).toThrow(expect.objectContaining({ code: 'unsupported-version' }))
})

function sample(): Envelope {
  const batch = new TextEncoder().encode('a batch')
  const digest = createHash('sha256').update(batch).digest()
  return {
    receivedAtMs: 1_700_000_000_000,
    agentNo: 7,
    lane: 'live',
    floor: 3,
    ruleVersion: 1,
    rejected: new Map(),
    digest,
    batch,
  }
}
