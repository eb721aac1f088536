/**
 * One batch to the hub and its answer back, signed by the hub's time as the agent knows it.
 *
 * A 401 `clock-skew` corrects that time only when the answer is signed by the pinned hub key as the answer to this very request;
 * the batch is then signed again at once, one time. The body of every try is the same bytes; only the signature's fields differ.
 */
import { messageOf } from '@tributary/shared/errors'
import { fields, formatBatchField, type Lane, mediaTypes, paths } from '@tributary/shared/protocol'
import { signRequest, verifyResponse } from '@tributary/shared/signature'
import type { SealedBatch } from '../buffer/buffer.ts'
import type { HubAnswer, HubConnection } from '../identity/hub-connection.ts'
import type { Identity } from '../identity/identity.ts'
import type { HubClock } from '../time/hub-clock.ts'
import { judge, type Setback, type Verdict } from './verdict.ts'

/** A batch is live while its newest reading is younger than this. */
const liveMs = 60_000

/** An answer to a batch of n readings is at most this and `answerBytesPerReading` times n, bytes: each may be rejected by name. */
const answerBytes = 64 * 1024
const answerBytesPerReading = 64

export interface Exchange {
  readonly connection: HubConnection
  readonly identity: Identity
  readonly clock: HubClock
  readonly signal: AbortSignal
  /** The clock was corrected; called before the second try. */
  readonly onClockCorrected: () => void
  /** What the request claims to be, by the clock as it is then. */
  readonly lane: (batch: SealedBatch) => Lane
  /** A try leaves, with so many bytes of head and body. */
  readonly onSend: (bytes: number) => void
}

/** `clock-skew` that remains after a correction, or was not signed, comes back as `later`. */
export async function sendBatch(
  exchange: Exchange,
  batch: SealedBatch,
): Promise<Exclude<Verdict, { kind: 'clock-skew' }>> {
  const first = await attempt(exchange, batch)
  if (first.verdict.kind !== 'clock-skew') return first.verdict
  const why = correctClock(exchange, first)
  if (why !== null)
    return clockProblem(`the hub says that this clock is off, in an answer that does not verify (${why})`)
  exchange.onClockCorrected()
  const second = await attempt(exchange, batch)
  if (second.verdict.kind !== 'clock-skew') return second.verdict
  return clockProblem("the hub refuses the time of its own signed answer; its replicas' clocks may differ")
}

interface Attempt {
  readonly headers: Record<string, string>
  readonly sentMonotonicMs: number
  readonly answer: HubAnswer
  readonly verdict: Verdict
}

async function attempt(exchange: Exchange, batch: SealedBatch): Promise<Attempt> {
  const { connection, identity, clock, signal, onSend } = exchange
  const own = {
    [fields.lane]: exchange.lane(batch),
    [fields.floor]: String(batch.floor),
    [fields.batch]: formatBatchField(batch.epoch, batch.seq),
    'content-type': mediaTypes.batch,
    accept: mediaTypes.json,
  }
  const signature = signRequest({
    method: 'POST',
    path: paths.batches,
    headers: own,
    body: batch.body,
    agentId: identity.agentId,
    privateKey: identity.privateKey,
    createdS: clock.nowMs() / 1000,
  })
  const headers = { ...own, ...signature }
  onSend(headBytes(headers) + batch.body.length)
  const sentMonotonicMs = clock.monotonicMs()
  const maxAnswerBytes = answerBytes + answerBytesPerReading * batch.readings
  const answer = await connection.send({
    method: 'POST',
    path: paths.batches,
    headers,
    body: batch.body,
    maxAnswerBytes,
    signal,
  })
  return { headers, sentMonotonicMs, answer, verdict: judge(answer, batch.readings + batch.aggregates) }
}

/** Null when the clock was corrected, else why not. */
function correctClock(
  { identity, clock }: Exchange,
  { headers, answer, verdict, sentMonotonicMs }: Attempt,
): string | null {
  try {
    const { createdS } = verifyResponse({ ...answer, requestHeaders: headers, publicKey: identity.hubKey })
    const hubTimeMs = verdict.kind === 'clock-skew' ? verdict.hubTimeMs : null
    clock.learn(hubTimeMs ?? createdS * 1000, sentMonotonicMs)
    return null
  } catch (error) {
    return messageOf(error)
  }
}

export function laneOf(newestUs: number, nowMs: number): Lane {
  return nowMs - newestUs / 1000 < liveMs ? 'live' : 'backlog'
}

/** The request's head as HTTP/1.1 has it, but for what the connection adds (host, length): about 80 bytes. */
function headBytes(headers: Readonly<Record<string, string>>): number {
  const lines = Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
  return lines + `POST ${paths.batches} HTTP/1.1\r\n\r\n`.length + 80
}

function clockProblem(detail: string): Setback {
  return { kind: 'later', code: 'clock-skew', detail, retryAfterS: null }
}
