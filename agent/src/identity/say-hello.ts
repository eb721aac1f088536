/**
 * One signed question to the hub, for `doctor` and for a first look after enrolment: is it there, does it know this agent, and what
 * time is it there?
 */
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import { fields, type HelloAnswer, mediaTypes, paths } from '@tributary/shared/protocol'
import { makeNonce, signRequest, verifyResponse } from '@tributary/shared/signature'
import { type HubAnswer, HubConnection } from './hub-connection.ts'
import { findProxy } from './hub-proxy.ts'
import { parseHubUrl } from './hub-url.ts'
import type { Identity } from './identity.ts'
import { parseProblem } from './problem.ts'

export interface HelloOptions {
  readonly identity: Identity
  /** Origin of the hub; null for the one that the agent was enrolled at. */
  readonly hub: string | null
  readonly insecure: boolean
  readonly caFile: string | null
  /** As of `EnrollOptions`. */
  readonly proxy?: string | null
  readonly signal: AbortSignal
  readonly nowMs?: () => number
}

/** Largest answer, bytes. */
const maxAnswerBytes = 64 * 1024

/**
 * The hub's answer to this agent. Throws what the hub refuses with (`agent-revoked`, `agent-unknown`, `unauthenticated`, …),
 * `clock-skew` with the difference in its message, `unavailable`, `config`, or `malformed` when that is no hub.
 */
export async function sayHello(options: HelloOptions): Promise<HelloAnswer> {
  const { identity, signal, nowMs = Date.now } = options
  const url = parseHubUrl(options.hub ?? identity.hub, options.insecure)
  const { caFile } = options
  const proxy = findProxy(url, options.proxy ?? null, process.env)
  const limits = { connections: 1, connectTimeoutMs: 5000, answerTimeoutMs: 10_000 }
  const connection = new HubConnection({ url, caFile, proxy, ...limits })
  const body = new Uint8Array()
  const own = { [fields.nonce]: makeNonce(), accept: mediaTypes.json }
  const { agentId, privateKey } = identity
  const request = {
    method: 'GET',
    path: paths.hello,
    headers: own,
    body,
    agentId,
    privateKey,
    createdS: nowMs() / 1000,
  } as const
  const headers = { ...own, ...signRequest(request) }
  try {
    const answer = await connection.send({ method: 'GET', path: paths.hello, headers, body, maxAnswerBytes, signal })
    if (answer.status === 200) return readHello(answer, url)
    throw refusal(answer, headers, identity, nowMs())
  } finally {
    await connection.close()
  }
}

function readHello(answer: HubAnswer, url: URL): HelloAnswer {
  try {
    const { hubTimeMs, agentId, site }: Partial<Record<keyof HelloAnswer, unknown>> = JSON.parse(
      Buffer.from(answer.body).toString('utf8'),
    )
    if (typeof hubTimeMs !== 'number' || typeof agentId !== 'string' || typeof site !== 'string')
      throw new Error('a field is missing')
    return { hubTimeMs, agentId, site }
  } catch (cause) {
    throw new TributaryError('malformed', `${url.origin} did not answer as a hub does`, {
      cause,
      hint: 'check that the address is that of a Tributary hub',
    })
  }
}

function refusal(
  answer: HubAnswer,
  headers: Record<string, string>,
  identity: Identity,
  nowMs: number,
): TributaryError {
  const { code, detail } = parseProblem(answer)
  if (code !== 'clock-skew') return new TributaryError(code, `the hub refuses this agent: ${detail}`)
  try {
    const { createdS } = verifyResponse({ ...answer, requestHeaders: headers, publicKey: identity.hubKey })
    const behindS = Math.round(createdS - nowMs / 1000)
    return new TributaryError(
      'clock-skew',
      `this machine's clock is ${Math.abs(behindS)} s ${behindS > 0 ? 'behind' : 'ahead of'} the hub's`,
      {
        hint: 'set up time synchronisation; until then the agent goes by the time in the signed answers of the hub',
      },
    )
  } catch (error) {
    if (!isTributaryError(error)) throw error
    return new TributaryError(
      'unauthenticated',
      `an answer that the hub did not sign says that this clock is off: ${error.message}`,
      {
        hint: 'something between this machine and the hub may be forging answers',
      },
    )
  }
}
