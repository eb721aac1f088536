/**
 * Tributary's profile of HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530) and Ed25519.
 *
 * A request covers exactly `@method @path content-digest tributary-agent`, `@query` when the target has a query, and then
 * `tributary-lane tributary-floor tributary-batch` (a batch: its identity makes a replay harmless) or `tributary-nonce` (any
 * other). Parameters: `created` (s), `keyid` = agent id, `alg="ed25519"`, `tag="tributary"`. A signature that covers fewer or
 * other components is refused, so is any other algorithm; signatures with other tags (a proxy's) are ignored.
 *
 * A signed answer covers `@status content-digest "signature";req;key="…"`: the hub's word on this very request and no other.
 *
 * Order of checks: shape, signature, body, clock. `clock-skew` is thus said only to whoever holds the key. Everything hostile
 * ends as `unauthenticated`. Synchronous: Ed25519 in OpenSSL costs 0.1 ms, a thread hop more.
 */
import { sign as cryptoSign, verify as cryptoVerify, type KeyObject, randomBytes } from 'node:crypto'
import { contentDigest, contentDigestField, verifyContentDigest } from './content-digest.ts'
import { isTributaryError, TributaryError } from './errors.ts'
import { fields, maxClockSkewS } from './protocol.ts'
import { type FieldMap, type RequestMessage, type ResponseMessage, signatureBase } from './signature-base.ts'
import {
  type BareItem,
  type InnerList,
  type Item,
  isInnerList,
  noParameters,
  parseDictionary,
  serializeBareItem,
  serializeInnerList,
  serializeItem,
} from './structured-fields.ts'

export type { FieldMap } from './signature-base.ts'

const tag = 'tributary'
const alg = 'ed25519'
/** The name of the signatures made here; verification takes any name and finds its signature by tag. */
const label = 'sig1'
/** `keyid` of the hub's answers. */
const hubKeyId = 'hub'

export interface SignRequest {
  readonly method: string
  /** As on the request line: path, with `?query` where there is one. */
  readonly path: string
  /** Lower-case names. Must hold lane, floor and batch, or a nonce. */
  readonly headers: FieldMap
  readonly body: Uint8Array
  readonly agentId: string
  readonly privateKey: KeyObject
  /** Seconds since 1970 by the best clock at hand. */
  readonly createdS: number
}

/** Headers to add to the request, lower-case names. */
export function signRequest(request: SignRequest): Record<string, string> {
  const headers = {
    ...request.headers,
    [fields.agent]: request.agentId,
    [contentDigestField]: contentDigest(request.body),
  }
  const message: RequestMessage = { method: request.method, target: request.path, headers }
  const items = requestComponents(message)
  const signature = makeSignature(items, request.createdS, request.agentId, message, request.privateKey)
  return { [fields.agent]: headers[fields.agent], [contentDigestField]: headers[contentDigestField], ...signature }
}

/** 16 random bytes, base64url: a value for `tributary-nonce`. */
export function makeNonce(): string {
  return randomBytes(16).toString('base64url')
}

export interface VerifyRequest {
  readonly method: string
  /** As on the request line: path, with `?query` where there is one. */
  readonly path: string
  /** Lower-case names, as node:http gives them. */
  readonly headers: FieldMap
  readonly body: Uint8Array
  /** The agent's key, or its keys while a rotation overlaps. */
  readonly publicKey: KeyObject | readonly KeyObject[]
  readonly nowS: number
}

/**
 * Throws `unauthenticated`, or `clock-skew` when all is well but `created` is more than `maxClockSkewS` from `nowS`. Returns what
 * the signature is: only of a `batch` are lane, floor and batch covered, only of a `nonce` the nonce.
 */
export function verifyRequest(request: VerifyRequest): 'batch' | 'nonce' {
  return refusing(() => {
    const message: RequestMessage = { method: request.method, target: request.path, headers: request.headers }
    const { list, bytes } = findSignature(request.headers)
    checkComponents(list, requestComponents(message))
    const createdS = checkParameters(list, single(request.headers, fields.agent))
    checkSignature(list, bytes, message, request.publicKey)
    verifyContentDigest(single(request.headers, contentDigestField), request.body)
    if (!(Math.abs(createdS - request.nowS) <= maxClockSkewS)) throw clockSkew(createdS, request.nowS)
    return isBatch(message) ? 'batch' : 'nonce'
  })
}

export interface SignResponse {
  readonly status: number
  readonly body: Uint8Array
  /** The headers of the request that is answered, as received. */
  readonly requestHeaders: FieldMap
  /** The hub's key. */
  readonly privateKey: KeyObject
  readonly createdS: number
}

/** Headers to add to the answer, lower-case names. Throws `unauthenticated` when the request carries no Tributary signature. */
export function signResponse(response: SignResponse): Record<string, string> {
  return refusing(() => {
    const requestLabel = findSignature(response.requestHeaders).label
    const digest = contentDigest(response.body)
    const message = responseMessage(response.status, { [contentDigestField]: digest }, response.requestHeaders)
    const items = responseComponents(requestLabel)
    const signature = makeSignature(items, response.createdS, hubKeyId, message, response.privateKey)
    return { [contentDigestField]: digest, ...signature }
  })
}

export interface VerifyResponse {
  readonly status: number
  readonly headers: FieldMap
  readonly body: Uint8Array
  /** The headers of the request as sent, its signature among them. */
  readonly requestHeaders: FieldMap
  /** The hub's key, pinned at enrolment. */
  readonly publicKey: KeyObject
}

/**
 * Throws `unauthenticated` unless the hub signed this status and body as the answer to this request. Returns the hub's `created`;
 * it is not compared with any clock, since the agent's own is what may be wrong.
 */
export function verifyResponse(response: VerifyResponse): { readonly createdS: number } {
  return refusing(() => {
    const requestLabel = findSignature(response.requestHeaders).label
    const { list, bytes } = findSignature(response.headers)
    checkComponents(list, responseComponents(requestLabel))
    const createdS = checkParameters(list, hubKeyId)
    const message = responseMessage(response.status, response.headers, response.requestHeaders)
    checkSignature(list, bytes, message, response.publicKey)
    verifyContentDigest(single(response.headers, contentDigestField), response.body)
    return { createdS }
  })
}

/** The components that a request must cover. Throws when it has neither a batch identity nor a nonce. */
function requestComponents(message: RequestMessage): readonly Item[] {
  const names: string[] = ['@method', '@path', contentDigestField, fields.agent]
  if (message.target.includes('?')) names.splice(2, 0, '@query')
  if (isBatch(message)) names.push(fields.lane, fields.floor, fields.batch)
  else if (message.headers[fields.nonce] !== undefined) names.push(fields.nonce)
  else throw unauthenticated(`a request carries ${fields.batch} or ${fields.nonce}, this one has neither`)
  return names.map(value => ({ value, parameters: noParameters }))
}

function isBatch(message: RequestMessage): boolean {
  return message.headers[fields.batch] !== undefined
}

function responseComponents(requestLabel: string): readonly Item[] {
  const boundTo = new Map<string, BareItem>([
    ['req', true],
    ['key', requestLabel],
  ])
  return [
    { value: '@status', parameters: noParameters },
    { value: contentDigestField, parameters: noParameters },
    { value: 'signature', parameters: boundTo },
  ]
}

/** `req` components refer to the request's signature only, so its method and target play no part. */
function responseMessage(status: number, headers: FieldMap, requestHeaders: FieldMap): ResponseMessage {
  return { status, headers, request: { method: '', target: '', headers: requestHeaders } }
}

function makeSignature(
  items: readonly Item[],
  createdS: number,
  keyId: string,
  message: RequestMessage | ResponseMessage,
  privateKey: KeyObject,
): Record<string, string> {
  const parameters = new Map<string, BareItem>([
    ['created', Math.floor(createdS)],
    ['keyid', keyId],
    ['alg', alg],
    ['tag', tag],
  ])
  const list: InnerList = { items, parameters }
  const bytes = cryptoSign(null, Buffer.from(signatureBase(list, message), 'latin1'), privateKey)
  return {
    'signature-input': `${label}=${serializeInnerList(list)}`,
    signature: `${label}=${serializeBareItem(bytes)}`,
  }
}

interface FoundSignature {
  readonly label: string
  readonly list: InnerList
  readonly bytes: Uint8Array
}

/** The one signature with Tributary's tag; none or several are refused. */
function findSignature(headers: FieldMap): FoundSignature {
  const inputs = parseDictionary(single(headers, 'signature-input'))
  const signatures = parseDictionary(single(headers, 'signature'))
  let found: FoundSignature | null = null
  for (const [name, list] of inputs) {
    if (!isInnerList(list) || list.parameters.get('tag') !== tag) continue
    if (found) throw unauthenticated(`more than one signature has the tag ${tag}`)
    const member = signatures.get(name)
    if (!member || isInnerList(member) || !(member.value instanceof Uint8Array)) {
      throw unauthenticated(`signature-input names ${name}, signature does not carry it`)
    }
    found = { label: name, list, bytes: member.value }
  }
  if (!found) throw unauthenticated(`no signature has the tag ${tag}`)
  return found
}

/** Exactly these components, in any order. */
function checkComponents(list: InnerList, required: readonly Item[]): void {
  const covered = list.items.map(serializeItem)
  const missing = required.map(serializeItem).find(name => !covered.includes(name))
  if (missing !== undefined) throw unauthenticated(`the signature does not cover ${missing}`)
  if (covered.length !== required.length)
    throw unauthenticated('the signature covers components beyond the required ones')
}

/** Algorithm and key are pinned; returns `created`. */
function checkParameters(list: InnerList, keyId: string): number {
  const created = list.parameters.get('created')
  if (typeof created !== 'number') throw unauthenticated('the signature has no created time')
  if (list.parameters.get('alg') !== alg) throw unauthenticated(`the signature's algorithm is not ${alg}`)
  if (list.parameters.get('keyid') !== keyId) throw unauthenticated(`the signature's keyid is not ${keyId}`)
  return created
}

function checkSignature(
  list: InnerList,
  bytes: Uint8Array,
  message: RequestMessage | ResponseMessage,
  publicKey: KeyObject | readonly KeyObject[],
): void {
  if (bytes.length !== 64) throw unauthenticated('an Ed25519 signature has 64 bytes')
  const base = Buffer.from(signatureBase(list, message), 'latin1')
  const keys = 'type' in publicKey ? [publicKey] : publicKey
  for (const key of keys) {
    if (key.asymmetricKeyType !== alg)
      throw new TributaryError('internal', 'a key that is not Ed25519 was given to verify with')
    if (cryptoVerify(null, base, key, bytes)) return
  }
  throw unauthenticated(
    'the signature does not verify',
    'wrong key, or something that it covers was changed on the way',
  )
}

/** The only line of a field; absent or repeated is refused. */
function single(headers: FieldMap, name: string): string {
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined
  if (value === undefined) throw unauthenticated(`no ${name} header`)
  if (typeof value === 'string') return value
  const first = value[0]
  if (first === undefined || value.length > 1) throw unauthenticated(`${value.length} ${name} headers, expected one`)
  return first
}

/** Parsers say `malformed`; of a signature that means `unauthenticated`. */
function refusing<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (isTributaryError(error, 'malformed'))
      throw new TributaryError('unauthenticated', error.message, { cause: error })
    throw error
  }
}

function unauthenticated(message: string, hint?: string): TributaryError {
  return new TributaryError('unauthenticated', message, hint === undefined ? {} : { hint })
}

function clockSkew(createdS: number, nowS: number): TributaryError {
  const offS = Math.round(createdS - nowS)
  return new TributaryError(
    'clock-skew',
    `the request was signed ${Math.abs(offS)} s ${offS > 0 ? 'ahead of' : 'behind'} the hub's clock`,
    {
      hint: 'check the time synchronisation of both machines; the agent corrects itself from the signed answer',
    },
  )
}
