/**
 * Files of a buffer, to be looked at by somebody who is not its writer: of a running agent, a stopped one, or on a card read elsewhere.
 *
 * The writer keeps its tail locked, and SQLite writes beside what it opens. So nothing is opened in place: one file at a time is copied
 * with its log into a folder of the caller, and only the copy is opened. A copy is whole when no checkpoint came in between, which the
 * time of the file and the salts of its log tell; what the writer appended meanwhile stands behind and is cut off where it is torn.
 */
import { closeSync, copyFileSync, existsSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { TributaryError } from '@tributary/shared/errors'

/** `quarantined`: set aside as damaged, when what was whole of it had been saved. */
export type FileKind = 'kept' | 'quarantined'

export interface FoundFile {
  readonly path: string
  readonly kind: FileKind
  /** As the file was numbered in its row of files. */
  readonly no: number
}

const maxTries = 50
const sides = ['-wal', '-journal'] as const
/** Of the log's header: its two salts, new with every run of the log. */
const saltsAt = 16
const saltsBytes = 8

/** The folder's files in their order, those in quarantine first. Throws `not-found` when there are none. */
export function findFiles(folder: string): FoundFile[] {
  const quarantine = join(folder, 'quarantine')
  const found = [...filesIn(quarantine), ...filesIn(folder)]
  if (found.length > 0) return found
  throw new TributaryError('not-found', `there is no buffer in ${folder}`, {
    hint: 'Name a data folder, its subfolder buffer, or a folder of files from quarantine.',
  })
}

function filesIn(folder: string): FoundFile[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .map(name => ({ name, match: /^(\d+-)?(\d{6,})\.db$/.exec(name) }))
    .filter(({ match }) => match !== null)
    .map(({ name, match }) => ({
      path: join(folder, name),
      kind: match?.[1] === undefined ? ('kept' as const) : ('quarantined' as const),
      no: Number(match?.[2]),
    }))
    .sort((a, b) => a.no - b.no)
}

/** A copy of a file as it is at one moment, in `into`; null when it is gone. Throws `storage` when it never holds still. */
export function copyFile(path: string, into: string): string | null {
  const copy = join(into, basename(path))
  try {
    for (let left = maxTries; left > 0; left--) {
      const before = stampOf(path)
      copyFileSync(path, copy)
      for (const side of sides) copySide(path + side, copy + side)
      if (stampOf(path) === before) return copy
    }
  } catch (error) {
    if (isGone(error)) return null
    throw error
  }
  throw new TributaryError('storage', `${path} changes faster than it can be copied`, {
    hint: 'Try again, or stop the agent for the while.',
  })
}

export function removeCopy(copy: string): void {
  for (const side of ['', '-shm', ...sides]) rmSync(copy + side, { force: true })
}

function copySide(from: string, to: string): void {
  try {
    copyFileSync(from, to)
  } catch (error) {
    if (!isGone(error)) throw error
    rmSync(to, { force: true })
  }
}

/** Changes with every checkpoint and with every new run of the log. */
function stampOf(path: string): string {
  const { mtimeNs, size } = statSync(path, { bigint: true })
  const beside = sides.map(side => existsSync(path + side)).join()
  return `${mtimeNs} ${size} ${beside} ${saltsOf(`${path}-wal`)}`
}

function saltsOf(log: string): string {
  try {
    const fd = openSync(log, 'r')
    try {
      const salts = Buffer.alloc(saltsBytes)
      readSync(fd, salts, 0, saltsBytes, saltsAt)
      return salts.toString('hex')
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (isGone(error)) return ''
    throw error
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
