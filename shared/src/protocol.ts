/**
 * What agent and hub say to each other over HTTP, besides the batch itself: paths, header fields, JSON documents.
 *
 * Every agent request is signed (RFC 9421, see signature.ts). A batch request is made harmless to replay by its identity; every
 * other agent request carries a nonce.
 */
import type { LossRange } from './batch/batch.ts'

export const paths = {
  enroll: '/v1/enroll',
  batches: '/v1/batches',
  /** GET, signed, with a nonce: the agent asks for the hub's time, its own standing, and the stored floors of `?epochs=E,E,…`. */
  hello: '/v1/hello',
} as const

export const mediaTypes = {
  batch: 'application/vnd.tributary.batch',
  json: 'application/json',
  problem: 'application/problem+json',
} as const

/** Header fields of an agent's request; all are covered by its signature. Lower case, as in RFC 9421's component names. */
export const fields = {
  agent: 'tributary-agent',
  /** `live` or `backlog`. */
  lane: 'tributary-lane',
  /** `epoch=E;seq=S` of the batch, decimal. */
  batch: 'tributary-batch',
  /** The seq of this epoch below which everything was sent or is in the ledger, decimal. */
  floor: 'tributary-floor',
  /** Requests without a batch identity: 16 random bytes, base64url. */
  nonce: 'tributary-nonce',
} as const

export type Lane = 'live' | 'backlog'

/** A request's `created` may differ from the hub's clock by this much before 401 `clock-skew`. Seconds. */
export const maxClockSkewS = 300

/** Bounds of a batch request. */
export const batchLimits = {
  /** Compressed body, bytes. */
  bodyBytes: 4 * 1024 * 1024,
  /** Body after decompression, bytes. */
  inflatedBytes: 32 * 1024 * 1024,
  readings: 100_000,
  series: 10_000,
  aggregates: 20_000,
  /** Series with aggregates, once for each of their windows. */
  aggregateSeries: 10_000,
  /** One aggregate as bytes: more than sums and a sketch of 512 buckets, the most that an agent keeps, can take. */
  aggregateBytes: 8192,
} as const

/** Open recalls in one answer; the next come with the answers after they are done. */
export const maxRecallsInAnswer = 16

/** POST /v1/enroll. The key is made on the gateway; only its public half travels. */
export interface EnrollRequest {
  /** One-time token from `tributary-hub token create`. */
  readonly token: string
  /** Raw Ed25519 public key, 32 bytes, base64url. */
  readonly publicKey: string
  /** What people call the gateway; the host name by default. */
  readonly name: string
  /** Ed25519 signature (base64url) over `enrollProof(token, publicKey)`: whoever enrols holds the private key. */
  readonly proof: string
}

/** 201 for a new agent, 200 when the same token and key enrol again (a lost answer), or when a bound token gives a known agent a new key. */
export interface EnrollAnswer {
  readonly agentId: string
  readonly site: string
  /** Raw Ed25519 public key of the hub, base64url: signed answers are verified with it. */
  readonly hubKey: string
  readonly hubTimeMs: number
}

/** The bytes signed as `proof` in an enrolment. */
export function enrollProof(token: string, publicKey: string): Uint8Array {
  return new TextEncoder().encode(`tributary enroll\n${token}\n${publicKey}`)
}

/** 200 of POST /v1/batches. A reading or aggregate that is not in `rejected` is durable at the hub. */
export interface BatchAnswer {
  /** Readings and aggregates. */
  readonly accepted: number
  readonly rejected: readonly { readonly index: number; readonly reason: RejectReason }[]
  /** The hub's stored floor of that epoch: every seq below it is stored or in its ledger. */
  readonly settled: number
  /** The highest seq of that epoch that is stored, 0 for none. Batches are stored in the order in which the hub answered them. */
  readonly reached: number
  readonly desiredConfigVersion: number
  /** Backlog batches that may be in flight until the next answer. */
  readonly credits: number
  /** Batches answered 200 that turned out to have the identity of another one: whoever sent one of them seals it again. */
  readonly conflicts: readonly BatchConflict[]
  /** Ranges of held readings that somebody asks back, oldest first; absent from a hub that knows none. At most `maxRecallsInAnswer`. */
  readonly recalls?: readonly Recall[]
}

/** Readings that the agent folded or kept back and may still have: those of a series with `fromUs` ≤ time < `toUs`. */
export interface Recall {
  readonly id: number
  readonly device: string
  readonly metric: string
  readonly fromUs: number
  readonly toUs: number
}

/** A batch that the hub does not have, because it has another one of this identity. */
export interface BatchConflict {
  readonly epoch: number
  readonly seq: number
  /** SHA-256 of the batch's bytes, hex. */
  readonly digest: string
}

/** Conflicts that one answer names at most. */
export const maxToldConflicts = 16

/**
 * Why the hub does not store a reading or an aggregate as data; it goes to the dead letters instead. The hub's log stores the place in
 * this list: append only.
 */
export const rejectReasons = [
  'non-finite',
  'future',
  'before-2000',
  'cardinality',
  'name',
  'string-too-long',
  'string-nul',
  'aggregate',
  'window',
] as const

export type RejectReason = (typeof rejectReasons)[number]

/** 200 of GET /v1/hello. */
export interface HelloAnswer {
  readonly hubTimeMs: number
  readonly agentId: string
  readonly site: string
  /** Of each epoch asked for: every seq below it is stored or in the hub's ledger. */
  readonly settled: readonly { readonly epoch: number; readonly settled: number }[]
}

/** Epochs that one hello asks about at most. */
export const maxHelloEpochs = 64

/** RFC 9457. `code` is an `ErrorCode`; `hubTimeMs` is present with `clock-skew`. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly hubTimeMs?: number
}

/** `epoch=E;seq=S`. */
export function formatBatchField(epoch: number, seq: number): string {
  return `epoch=${epoch};seq=${seq}`
}

/** The reverse of `formatBatchField`, or null when it is not that. */
export function parseBatchField(text: string): { epoch: number; seq: number } | null {
  const match = /^epoch=(\d{1,15});seq=(\d{1,15})$/.exec(text)
  return match ? { epoch: Number(match[1]), seq: Number(match[2]) } : null
}

export type { LossRange }
