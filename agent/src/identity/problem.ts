/**
 * Reads what a hub, or a proxy in front of it, says when it does not do as asked: a problem document (RFC 9457) or any text.
 *
 * `code` is the document's when that is a code that fits its status, else follows from the status. `detail` is one bounded line.
 */
import type { ErrorCode } from '@tributary/shared/errors'
import type { HubAnswer } from './hub-connection.ts'

export interface ReadProblem {
  readonly code: ErrorCode
  /** The document named the code: it is a hub's word, not a status of whatever stands in front of it. */
  readonly named: boolean
  /** One line, at most 300 characters, printable. */
  readonly detail: string
  /** Seconds of `Retry-After`, 0 … 3600; null when absent. */
  readonly retryAfterS: number | null
  /** With `clock-skew`: the hub's time, ms; believed only when the answer's signature verifies. */
  readonly hubTimeMs: number | null
}

/** Longest wait that a hub may ask for, s. */
const maxRetryAfterS = 3600

/** Codes a hub may say, by status; the first is meant when it says none of them. */
const codesOfStatus: Readonly<Record<number, readonly [ErrorCode, ...ErrorCode[]]>> = {
  400: ['malformed', 'unsupported-version'],
  401: [
    'unauthenticated',
    'clock-skew',
    'token-expired',
    'token-used',
    'token-revoked',
    'agent-unknown',
    'agent-revoked',
  ],
  403: ['forbidden', 'agent-revoked', 'agent-unknown', 'token-expired', 'token-used', 'token-revoked'],
  404: ['not-found', 'agent-unknown'],
  408: ['unavailable'],
  409: ['conflict', 'token-used'],
  410: ['not-found', 'token-expired', 'token-used', 'token-revoked'],
  413: ['too-large'],
  415: ['unsupported-media-type', 'unsupported-version'],
  422: ['unprocessable', 'malformed', 'unsupported-version'],
  429: ['rate-limited', 'unavailable'],
}

/** What an answer that is not a success says. */
export function parseProblem(answer: HubAnswer): ReadProblem {
  const document = readDocument(answer.body)
  const codes = codesOfStatus[answer.status] ?? [answer.status >= 500 ? 'unavailable' : 'unprocessable']
  const detail =
    typeof document?.detail === 'string' ? document.detail : typeof document?.title === 'string' ? document.title : ''
  const hubTimeMs = document?.hubTimeMs
  const code = codes.find(one => one === document?.code)
  return {
    code: code ?? codes[0],
    named: code !== undefined,
    detail: oneLine(detail === '' ? `HTTP status ${answer.status}` : detail),
    retryAfterS: readRetryAfter(answer.headers['retry-after'], answer.headers.date),
    hubTimeMs: typeof hubTimeMs === 'number' && Number.isFinite(hubTimeMs) && hubTimeMs > 0 ? hubTimeMs : null,
  }
}

function readDocument(body: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}

function oneLine(text: string): string {
  return text
    .slice(0, 300)
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
    .trim()
}

/** RFC 9110 §10.2.3: seconds, or a date, which is taken relative to the hub's own `Date`, never to this machine's clock. */
function readRetryAfter(
  value: string | readonly string[] | undefined,
  date: string | readonly string[] | undefined,
): number | null {
  if (typeof value !== 'string') return null
  const seconds = /^\d{1,9}$/.test(value)
    ? Number(value)
    : typeof date === 'string'
      ? (Date.parse(value) - Date.parse(date)) / 1000
      : Number.NaN
  return Number.isNaN(seconds) ? null : Math.min(maxRetryAfterS, Math.max(0, seconds))
}
