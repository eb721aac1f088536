/**
 * From a request as received to a batch that may be believed: signature, decoding, and the identity in the signed header fields
 * equal to the one inside. Pure and synchronous; the body has been read within its bound.
 *
 * Order of checks: header fields, signature (and with it body and clock), standing, contents. Whoever cannot sign learns nothing
 * about an agent but that its id is known.
 */
import { hash } from 'node:crypto'
import type { Batch } from '@tributary/shared/batch/batch'
import { decodeBatch, encodeBatch } from '@tributary/shared/batch/codec'
import { TributaryError } from '@tributary/shared/errors'
import { batchLimits, fields, type Lane, mediaTypes, parseBatchField } from '@tributary/shared/protocol'
import { type FieldMap, verifyRequest } from '@tributary/shared/signature'
import type { AgentStanding } from '../devices/agent-directory.ts'
import { parseJsonBatch } from './json-batch.ts'

export interface BatchRequest {
  readonly method: string
  /** As on the request line. */
  readonly path: string
  /** Lower-case names. */
  readonly headers: FieldMap
  readonly body: Uint8Array
}

export interface OpenedBatch {
  readonly batch: Batch
  /** The binary form: as received, or made from the JSON form. */
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`. */
  readonly digest: Uint8Array
  /** As claimed. */
  readonly lane: Lane
  readonly floor: number
}

/** Throws `unauthenticated`, `clock-skew`, `agent-revoked`, `malformed`, `too-large`, `unsupported-version` or `unsupported-media-type`. */
export function openBatch(request: BatchRequest, agent: AgentStanding, nowMs: number): OpenedBatch {
  const mediaType = batchMediaType(request.headers)
  verifyAgent(request, agent, nowMs)
  const { epoch, seq, lane, floor } = batchFields(request.headers)
  const { batch, bytes } = decode(request, mediaType)
  const { header } = batch
  if (header.agentId !== agent.agentId || header.epoch !== epoch || header.seq !== seq) {
    throw new TributaryError(
      'malformed',
      `the signed header fields name batch ${agent.agentId}/${epoch}/${seq}, the body is batch ${header.agentId}/${header.epoch}/${header.seq}`,
    )
  }
  return { batch, bytes, digest: hash('sha256', bytes, 'buffer'), lane, floor }
}

/** The media type of a batch request; throws `unsupported-media-type` for anything that is no batch. */
export function batchMediaType(headers: FieldMap): 'binary' | 'json' {
  const [type = ''] = text(headers, 'content-type').toLowerCase().split(';', 1)
  const encoding = text(headers, 'content-encoding').toLowerCase()
  if (type.trim() === mediaTypes.json && ['', 'identity', 'gzip', 'zstd'].includes(encoding)) return 'json'
  if (type.trim() === mediaTypes.batch && ['', 'identity'].includes(encoding)) return 'binary'
  throw new TributaryError(
    'unsupported-media-type',
    `a batch is ${mediaTypes.batch}, or ${mediaTypes.json} (plain, gzip or zstd), not ${type || 'without a content-type'}${encoding && ` in ${encoding}`}`,
  )
}

/** Throws unless a key of this agent signed the request lately and the agent is not revoked. */
export function verifyAgent(request: BatchRequest, agent: AgentStanding, nowMs: number): 'batch' | 'nonce' {
  const kind = verifyRequest({ ...request, publicKey: agent.keys, nowS: nowMs / 1000 })
  if (agent.revoked) throw new TributaryError('agent-revoked', `agent ${agent.agentId} was revoked`)
  return kind
}

function batchFields(headers: FieldMap): { epoch: number; seq: number; lane: Lane; floor: number } {
  const identity = parseBatchField(text(headers, fields.batch))
  if (identity === null) throw new TributaryError('malformed', `${fields.batch} is not epoch=E;seq=S`)
  const lane = text(headers, fields.lane)
  if (lane !== 'live' && lane !== 'backlog')
    throw new TributaryError('malformed', `${fields.lane} is neither live nor backlog`)
  const floor = text(headers, fields.floor)
  if (!/^\d{1,15}$/.test(floor)) throw new TributaryError('malformed', `${fields.floor} is not a whole number`)
  return { ...identity, lane, floor: Number(floor) }
}

function decode(request: BatchRequest, mediaType: 'binary' | 'json'): { batch: Batch; bytes: Uint8Array } {
  if (mediaType === 'binary') return { batch: decodeBatch(request.body, batchLimits), bytes: request.body }
  const batch = parseJsonBatch(request.body, text(request.headers, 'content-encoding').toLowerCase())
  return { batch, bytes: encodeBatch(batch) }
}

function text(headers: FieldMap, name: string): string {
  const value = headers[name]
  return typeof value === 'string' ? value : ''
}
