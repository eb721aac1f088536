/**
 * One signed question to the hub, for `doctor` and for a first look after enrolment: is it there, does it know this agent, and what
 * time is it there?
 */
import { TributaryError } from '@tributary/shared/errors'
import type { HelloAnswer } from '@tributary/shared/protocol'
import { exchangeHello, type Hello, noHub } from './hello.ts'
import { HubConnection } from './hub-connection.ts'
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
  try {
    const hello = await exchangeHello(connection, identity, nowMs(), signal)
    if (hello.said) return hello.said
    if (hello.answer.status === 200) throw noHub(url.origin)
    throw refusal(hello, nowMs())
  } finally {
    await connection.close()
  }
}

function refusal({ answer, signature }: Hello, nowMs: number): TributaryError {
  const { code, detail } = parseProblem(answer)
  if (code !== 'clock-skew') return new TributaryError(code, `the hub refuses this agent: ${detail}`)
  if (!signature.valid) {
    return new TributaryError(
      'unauthenticated',
      `an answer that the hub did not sign says that this clock is off: ${signature.why}`,
      { hint: 'something between this machine and the hub may be forging answers' },
    )
  }
  const behindS = Math.round(signature.createdS - nowMs / 1000)
  return new TributaryError(
    'clock-skew',
    `this machine's clock is ${Math.abs(behindS)} s ${behindS > 0 ? 'behind' : 'ahead of'} the hub's`,
    { hint: 'set up time synchronisation; until then the agent goes by the time in the signed answers of the hub' },
  )
}
