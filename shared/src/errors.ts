/**
 * One error type for every failure that a caller may have to tell apart.
 *
 * `code` is a closed union: a handler switches on it, a table maps it to an HTTP status, a log counts it. The message says what
 * happened, to what, and what to do next; the cause keeps the original. `retryable` says whether the same call may succeed later
 * without anybody changing anything.
 */
export type ErrorCode =
  // the caller's input
  | 'malformed' // bytes or JSON that do not parse, or break the stated layout
  | 'too-large' // a stated bound is exceeded
  | 'unsupported-version' // a batch layout or protocol version this build does not speak
  | 'unsupported-media-type'
  | 'unprocessable' // parses, but says something impossible
  | 'not-found'
  | 'conflict' // the same identity with other contents
  | 'config' // configuration that cannot be used
  // who is asking
  | 'unauthenticated' // no credentials, or a signature that does not verify
  | 'clock-skew' // a signature's `created` too far from the hub's clock
  | 'forbidden'
  | 'token-expired'
  | 'token-used'
  | 'token-revoked'
  | 'agent-unknown'
  | 'agent-revoked'
  // the machine
  | 'rate-limited'
  | 'unavailable' // a dependency is down or full; try again
  | 'storage' // the disk refused
  | 'storage-full'
  | 'corrupt' // stored bytes fail their check
  | 'in-use' // a port, folder or lock is held by another process
  | 'not-supported' // this platform or build cannot
  | 'aborted' // stopped by its own signal
  | 'internal'

const retryableCodes: ReadonlySet<ErrorCode> = new Set([
  'rate-limited',
  'unavailable',
  'storage',
  'storage-full',
  'clock-skew',
])

export interface TributaryErrorOptions {
  readonly cause?: unknown
  /** Overrides the code's default. */
  readonly retryable?: boolean
  /** What to do next, shown on a line of its own by the command line tools. */
  readonly hint?: string
  /** Seconds to wait before the next try, when the other side said so. */
  readonly retryAfterS?: number
}

export class TributaryError extends Error {
  override readonly name = 'TributaryError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly hint: string | undefined
  readonly retryAfterS: number | undefined

  constructor(code: ErrorCode, message: string, options: TributaryErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? retryableCodes.has(code)
    this.hint = options.hint
    this.retryAfterS = options.retryAfterS
  }
}

/** Narrow an unknown to a `TributaryError` with that code (or with any code). */
export function isTributaryError(error: unknown, code?: ErrorCode): error is TributaryError {
  return error instanceof TributaryError && (code === undefined || error.code === code)
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
