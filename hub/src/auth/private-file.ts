/** Files that hold secrets: mode 0600, and whole or absent, never half written. */
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'

/** Write `text` to `path`, durable when it returns. */
export function writePrivateFile(path: string, text: string): void {
  const temporary = `${path}.new`
  try {
    const file = openSync(temporary, 'w', 0o600)
    try {
      chmodSync(temporary, 0o600)
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    const folder = openSync(dirname(path), 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  } catch (cause) {
    throw new TributaryError('storage', `cannot write ${path}: ${messageOf(cause)}`, {
      cause,
      hint: 'Give the hub a data folder that it may write to (--data, data_dir)',
    })
  }
}

/** Refuse a secret that other accounts can read. */
export function requirePrivate(path: string): void {
  const { mode } = statSync(path)
  if ((mode & 0o077) !== 0) {
    throw new TributaryError('config', `${path} can be read by other accounts (mode ${(mode & 0o777).toString(8)})`, {
      hint: `Run: chmod 600 ${path}`,
    })
  }
}
