/**
 * One buffer on one folder: an exclusive lock held by the operating system on `lock.db`, gone with the process however it ends.
 */
import { join } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import Database from 'better-sqlite3'
import { makePrivate } from './buffer-file.ts'

export interface FolderLock {
  release(): void
}

/** Throws `in-use` while another buffer has the folder. */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, 'lock.db')
  let database: Database.Database | null = null
  try {
    makePrivate(path)
    database = new Database(path, { timeout: 0 })
    database.pragma('journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    if (isBusy(cause)) {
      throw new TributaryError('in-use', `the data folder ${folder} is in use by another agent`, {
        cause,
        hint: 'Stop the other agent, or give this one a folder of its own.',
      })
    }
    throw new TributaryError('storage', `cannot lock the data folder ${folder}: ${messageOf(cause)}`, {
      cause,
      hint: 'The folder must be on a local disk and writable by the user that runs the agent.',
    })
  }
  const held = database
  return { release: () => held.close() }
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')
}
