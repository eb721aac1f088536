/** The folder of a buffer that a command looks at, and a place for copies of its files. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type CommandContext, UsageError } from '@tributary/shared/cli'
import { TributaryError } from '@tributary/shared/errors'
import { bufferSlice } from '../config/stage-configs.ts'
import { readConfigOption } from './config-option.ts'

/** What the first argument names, a data folder or a buffer's own; without one the configured one. */
export async function bufferFolder(context: CommandContext): Promise<string> {
  const [given, ...more] = context.positionals
  if (more.length > 0) throw new UsageError('unprocessable', 'name one folder')
  if (given === undefined) return bufferSlice(await readConfigOption(context)).folder
  const folder = resolve(given)
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new TributaryError('not-found', `there is no folder ${folder}`)
  }
  const inner = join(folder, 'buffer')
  return existsSync(inner) && !readdirSync(folder).some(name => name.endsWith('.db')) ? inner : folder
}

/** A folder of this user alone, gone afterwards. */
export async function withTemporary<T>(use: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-buffer-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
