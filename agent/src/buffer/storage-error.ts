/**
 * What SQLite and the file system say, sorted into: the file is damaged, the disk is full, the disk refused, a fault of our own.
 */
import { messageOf, TributaryError } from '@tributary/shared/errors'
import Database from 'better-sqlite3'

/** True for errors that say that the file itself is damaged, not that the disk refused. */
export function isDamage(error: unknown): boolean {
  if (error instanceof TributaryError) return error.code === 'corrupt'
  if (error instanceof SyntaxError) return true
  return (
    error instanceof Database.SqliteError &&
    /^SQLITE_(CORRUPT|NOTADB|ERROR|MISMATCH|IOERR_READ|IOERR_SHORT_READ|IOERR_CORRUPTFS)/.test(error.code)
  )
}

/** True when the medium does not give what is asked for: a bad sector, or a disk that is not there any more. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EIO'
}

/** What the disk refused, as an error for the caller. */
export function storageError(cause: unknown): TributaryError {
  if (cause instanceof TributaryError) return cause
  const code = cause instanceof Error && 'code' in cause && !(cause instanceof TypeError) ? String(cause.code) : ''
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') {
    return new TributaryError('storage-full', 'the disk of the buffer is full; nothing of the message was kept', {
      cause,
      hint: 'Free some space on the file system of the data folder.',
    })
  }
  return new TributaryError(
    'storage',
    `the buffer cannot write: ${messageOf(cause)}; nothing of the message was kept`,
    {
      cause,
      hint: 'Check that the data folder is writable and its disk healthy.',
    },
  )
}
