/**
 * Where a demo keeps its data and logs: a folder `demo-…` with a marker that names the process it belongs to.
 *
 * Only folders with such a marker, whose process is gone, are ever removed: at the start of the next demo, or by `--clean`. A process is
 * told from a later one with the same number by its time of start (Linux); one of another container cannot be seen from here, and its
 * folder stays. A Postgres that still runs there is waited for, as its hub
 * stops it, and then stopped: the hub may have been killed too.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { findPostmaster, stopPostmaster } from '../hub/src/database/postmaster.ts'

const markerName = 'tributary-demo.json'
const stoppingMs = 20_000
/** The hub takes nothing when fewer than 512 MiB are free. */
const hubKeepsFreeMiB = 512
/** What a demo writes: databases and write-ahead log of its first minutes, then readings; see docs/machines.md. */
const startMiB = 256
const hourlyMiB = 400

interface Marker {
  readonly pid: number
  /** What tells the process from another one with its number; null where the system does not say. */
  readonly startedAt: string | null
  /** Where its number counts: boot and pid namespace; null where the system does not say. */
  readonly countedIn: string | null
}

export interface StateFolder {
  readonly path: string
  remove(): Promise<void>
}

/** Make a folder below `parent` for a demo of that length. Throws `storage` or `storage-full` with what to do. */
export async function openStateFolder(parent: string, forMs: number): Promise<StateFolder> {
  const path = resolve(parent, `demo-${randomBytes(4).toString('hex')}`)
  try {
    await mkdir(path, { recursive: true })
    const marker: Marker = { pid: process.pid, startedAt: startOf(process.pid), countedIn: pidsCountedIn() }
    await writeFile(join(path, markerName), `${JSON.stringify(marker)}\n`)
  } catch (cause) {
    throw new TributaryError('storage', `${parent} cannot be written${ownerNote(parent)}: ${messageOf(cause)}`, {
      cause,
      hint: 'Name a folder of your own: npm run demo -- --state DIR',
    })
  }
  try {
    await checkRoom(path, forMs)
  } catch (error) {
    await removeFolder(path)
    throw error
  }
  return { path, remove: () => removeFolder(path) }
}

async function checkRoom(path: string, forMs: number): Promise<void> {
  const { bavail, bsize } = await statfs(path)
  const freeMiB = Math.floor((bavail * bsize) / 1024 ** 2)
  const neededMiB = hubKeepsFreeMiB + startMiB + Math.ceil((hourlyMiB * forMs) / 3_600_000)
  if (freeMiB >= neededMiB) return
  throw new TributaryError('storage-full', `${path} has ${freeMiB} MiB free, the demo needs ${neededMiB} MiB`, {
    hint: 'Name a folder on another disk (npm run demo -- --state DIR), or a shorter time (--for 40s)',
  })
}

/** Remove what demos left behind that are gone. */
export async function clearStateFolders(parent: string, note: (text: string) => void): Promise<void> {
  const names = await readdir(parent).catch(() => [])
  for (const name of names.filter(one => one.startsWith('demo-'))) {
    const path = join(parent, name)
    const marker = await readMarker(path)
    if (marker === null || isRunning(marker)) continue
    try {
      await removeFolder(path)
      note(`removed ${path} of an earlier demo`)
    } catch (error) {
      note(`${path} of an earlier demo stays: ${messageOf(error)}`)
    }
  }
}

async function removeFolder(path: string): Promise<void> {
  const data = join(path, 'hub', 'postgres', 'data')
  const endMs = Date.now() + stoppingMs
  for (let left = findPostmaster(data); left !== null; left = findPostmaster(data)) {
    if (Date.now() > endMs) await stopPostmaster(left.pid)
    await sleep(100)
  }
  await rm(path, { recursive: true, force: true, maxRetries: 5 })
}

async function readMarker(path: string): Promise<Marker | null> {
  try {
    const found = JSON.parse(await readFile(join(path, markerName), 'utf8')) as Partial<Marker> | null
    if (!Number.isSafeInteger(found?.pid)) return null
    const text = (value: unknown) => (typeof value === 'string' ? value : null)
    return { pid: found!.pid!, startedAt: text(found!.startedAt), countedIn: text(found!.countedIn) }
  } catch {
    return null // not made by a demo, or cut off while it was made: left alone
  }
}

function isRunning({ pid, startedAt, countedIn }: Marker): boolean {
  const here = pidsCountedIn()
  if (countedIn !== null && here !== null && countedIn !== here) return bootOf(countedIn) === bootOf(here)
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return startedAt === null || startOf(pid) === startedAt
}

/** `boot/namespace`. */
function pidsCountedIn(): string | null {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return null
  }
}

function bootOf(countedIn: string): string {
  return countedIn.slice(0, countedIn.indexOf('/'))
}

/** Boot and clock ticks since it, from /proc; null elsewhere. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${ticks}`
  } catch {
    return null
  }
}

function ownerNote(parent: string): string {
  const owner = statSync(resolve(parent, '..'), { throwIfNoEntry: false })?.uid
  return owner === undefined || owner === process.getuid?.() ? '' : ` (the folder above it belongs to uid ${owner})`
}
