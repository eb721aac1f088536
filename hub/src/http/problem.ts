/**
 * Every failure as a problem document (RFC 9457): one table from code to status, one place that writes the body.
 *
 * What the machine did wrong is not told in detail: the answer names the request's id, the log has the rest.
 */
import { type ErrorCode, isTributaryError, TributaryError } from '@tributary/shared/errors'
import type { Problem } from '@tributary/shared/protocol'
import type { ContentfulStatusCode } from 'hono/utils/http-status'

const kinds: Readonly<Record<ErrorCode, readonly [ContentfulStatusCode, string]>> = {
  malformed: [400, 'Malformed'],
  unauthenticated: [401, 'Not authenticated'],
  'clock-skew': [401, 'Clock skew'],
  'agent-unknown': [401, 'Agent unknown'],
  forbidden: [403, 'Forbidden'],
  'agent-revoked': [403, 'Agent revoked'],
  'token-expired': [403, 'Token expired'],
  'token-used': [403, 'Token used up'],
  'token-revoked': [403, 'Token revoked'],
  'not-found': [404, 'Not found'],
  conflict: [409, 'Conflict'],
  'too-large': [413, 'Too large'],
  'unsupported-media-type': [415, 'Unsupported media type'],
  unprocessable: [422, 'Cannot be processed'],
  'unsupported-version': [422, 'Unsupported version'],
  'rate-limited': [429, 'Too many requests'],
  unavailable: [503, 'Not available'],
  storage: [503, 'Storage failed'],
  'storage-full': [503, 'Storage full'],
  aborted: [503, 'Stopping'],
  config: [500, 'Internal error'],
  corrupt: [500, 'Internal error'],
  'in-use': [500, 'Internal error'],
  'not-supported': [500, 'Internal error'],
  internal: [500, 'Internal error'],
}

export function statusOf(code: ErrorCode): ContentfulStatusCode {
  return kinds[code][0]
}

/** What was thrown, as something that may be told. `asKnown` turns failures of the database into `unavailable`. */
export function toTributaryError(error: unknown, requestId: string): TributaryError {
  if (isTributaryError(error) && statusOf(error.code) !== 500) return error
  return new TributaryError('internal', `the hub failed at this request; its log has the details under ${requestId}`, {
    cause: error,
  })
}

export function problemOf(error: TributaryError, nowMs: number): Problem {
  const [status, title] = kinds[error.code]
  return {
    type: `urn:tributary:problem:${error.code}`,
    title,
    status,
    code: error.code,
    detail: error.hint === undefined ? error.message : `${error.message}. ${error.hint}`,
    ...(error.code === 'clock-skew' && { hubTimeMs: Math.floor(nowMs) }),
  }
}
