/**
 * One hello over a connection that is there: a signed question, and what the hub says of itself and of the time.
 *
 * The hub signs the answer to this very request with the key that was pinned at enrolment: whoever is in between can delay the time
 * that it gives, by no more than the exchange took, and not change it. The time may come with a refusal too (`clock-skew`).
 */
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import { fields, type HelloAnswer, mediaTypes, paths } from '@tributary/shared/protocol'
import { makeNonce, signRequest, verifyResponse } from '@tributary/shared/signature'
import type { HubAnswer, HubConnection } from './hub-connection.ts'
import type { Identity } from './identity.ts'
import { parseProblem } from './problem.ts'

/** Largest answer, bytes. */
const maxAnswerBytes = 64 * 1024

export interface Hello {
  readonly answer: HubAnswer
  /** Null when it refuses, or is not a hub's. */
  readonly said: HelloAnswer | null
  /** To the millisecond; null when it did not say. */
  readonly hubTimeMs: number | null
  readonly signature: HelloSignature
}

/** The hub's own, of that second; or why the answer does not verify. */
export type HelloSignature =
  | { readonly valid: true; readonly createdS: number }
  | { readonly valid: false; readonly why: string }

/** `epochs`: to be told how much of them is stored. Throws `unavailable` or `aborted`. */
export async function exchangeHello(
  connection: HubConnection,
  identity: Identity,
  nowMs: number,
  signal: AbortSignal,
  epochs: readonly number[] = [],
): Promise<Hello> {
  const { agentId, privateKey, hubKey: publicKey } = identity
  const own = { [fields.nonce]: makeNonce(), accept: mediaTypes.json }
  const path = epochs.length === 0 ? paths.hello : `${paths.hello}?epochs=${epochs.join(',')}`
  const request = { method: 'GET', path, body: new Uint8Array() } as const
  const signature = signRequest({ ...request, headers: own, agentId, privateKey, createdS: nowMs / 1000 })
  const headers = { ...own, ...signature }
  const answer = await connection.send({ ...request, headers, maxAnswerBytes, signal })
  const said = answer.status === 200 ? readHello(answer) : null
  const hubTimeMs = said?.hubTimeMs ?? (answer.status === 200 ? null : parseProblem(answer).hubTimeMs)
  return { answer, said, hubTimeMs, signature: verify(answer, headers, publicKey) }
}

function verify(
  answer: HubAnswer,
  requestHeaders: Record<string, string>,
  publicKey: Identity['hubKey'],
): HelloSignature {
  try {
    return { valid: true, ...verifyResponse({ ...answer, requestHeaders, publicKey }) }
  } catch (error) {
    if (!isTributaryError(error)) throw error
    return { valid: false, why: error.message }
  }
}

function readHello(answer: HubAnswer): HelloAnswer | null {
  try {
    const { hubTimeMs, agentId, site, settled }: Partial<Record<keyof HelloAnswer, unknown>> = JSON.parse(
      Buffer.from(answer.body).toString('utf8'),
    )
    if (typeof hubTimeMs !== 'number' || typeof agentId !== 'string' || typeof site !== 'string') return null
    return { hubTimeMs, agentId, site, settled: readFloors(settled) }
  } catch {
    return null
  }
}

/** A hub that does not tell says nothing of any epoch. */
function readFloors(value: unknown): HelloAnswer['settled'] {
  if (!Array.isArray(value)) return []
  return value.filter(entry => Number.isSafeInteger(entry?.epoch) && Number.isSafeInteger(entry?.settled))
}

export function noHub(origin: string): TributaryError {
  return new TributaryError('malformed', `${origin} did not answer as a hub does`, {
    hint: 'check that the address is that of a Tributary hub',
  })
}
