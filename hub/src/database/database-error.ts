/**
 * Which failures of Postgres are of the machine (try again) and which are of the data (a retry fails the same way).
 * SQLSTATE classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import pg from 'pg'

/** Connection failures, shutdown and start-up, resources, deadlock and serialization, and a statement or lock that timed out. */
const retryableStates = ['08', '53', '57', '58', '40001', '40P01', '55P03', '25P03', '25006']

/** Whether the same transaction may succeed later without anybody changing its data. */
export function isRetryableDatabaseError(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return retryableStates.some(state => error.code?.startsWith(state) === true)
  if (isTributaryError(error)) return error.retryable
  return isConnectionError(error)
}

function isConnectionError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code !== undefined && /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)/.test(code))
    return true
  // pg's own errors of a lost or exhausted connection carry no code
  return /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable/.test(
    messageOf(error),
  )
}

/** As `unavailable` when the database is away; anything else as it is. */
export function asUnavailable(error: unknown): unknown {
  if (isTributaryError(error) || !isRetryableDatabaseError(error)) return error
  return new TributaryError('unavailable', `the database is not available: ${messageOf(error)}`, { cause: error })
}
