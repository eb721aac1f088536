/**
 * A process that outlives who started it, in a folder of its own: `daemon.json` (pid and start time), `log.txt` (what it says).
 *
 * Linux gives pids out again: only a process that began when ours did is ours, and only such a one is ever signalled.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'

export interface DaemonOptions {
  readonly name: string
  readonly folder: string
  readonly command: string
  readonly args: readonly string[]
  /** Ports that it will listen on, on 127.0.0.1. */
  readonly ports: readonly number[]
  /** Throws, or is false, until it answers. */
  readonly isReady: () => Promise<boolean>
}

interface Identity {
  readonly pid: number
  /** Clock ticks since boot, /proc/PID/stat. */
  readonly startedAt: string
}

const readyWithinMs = 90_000
const stopWithinMs = 20_000
const logTailLines = 5

/** Start it and wait until it is ready; nothing to do when it runs. Throws `in-use` for a taken port, `unavailable` with its last words. */
export async function startDaemon(options: DaemonOptions): Promise<void> {
  if (findDaemon(options.folder) === null) await launch(options)
  await waitUntilReady(options)
}

/** Its pid, or null when it does not run. */
export function findDaemon(folder: string): number | null {
  const known = readIdentity(folder)
  return known !== null && startTime(known.pid) === known.startedAt ? known.pid : null
}

/** Ends it by pid: the signal, and SIGKILL when that does not help; nothing to do when it does not run. */
export async function stopDaemon(folder: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const deadline = performance.now() + stopWithinMs
  let pid = findDaemon(folder)
  if (pid !== null) process.kill(pid, signal)
  for (; pid !== null; pid = findDaemon(folder)) {
    if (performance.now() > deadline) process.kill(pid, 'SIGKILL')
    await sleep(20)
  }
  rmSync(identityFile(folder), { force: true })
}

async function launch({ name, folder, command, args, ports }: DaemonOptions): Promise<void> {
  for (const port of ports) {
    if (await answers(port))
      throw new TributaryError('in-use', `${name} needs port ${port}, which another process listens on`, {
        hint: `See who does: ss -ltnp 'sport = :${port}'`,
      })
  }
  mkdirSync(folder, { recursive: true })
  const log = openSync(logFile(folder), 'w', 0o600)
  const child = spawn(command, [...args], { cwd: folder, stdio: ['ignore', log, log], detached: true })
  closeSync(log)
  const failed = await new Promise<Error | null>(resolve => {
    child.once('error', resolve)
    child.once('spawn', () => resolve(null))
  })
  if (failed !== null || child.pid === undefined)
    throw new TributaryError('unavailable', `${command} cannot be started: ${messageOf(failed)}`, { cause: failed })
  child.unref()
  const identity: Identity = { pid: child.pid, startedAt: startTime(child.pid) ?? '' }
  writeFileSync(identityFile(folder), JSON.stringify(identity))
}

async function waitUntilReady({ name, folder, isReady }: DaemonOptions): Promise<void> {
  const deadline = performance.now() + readyWithinMs
  let reason: unknown = 'it does not answer'
  for (;;) {
    if (findDaemon(folder) === null) throw startError(`${name} ended while it started`, folder)
    try {
      if (await isReady()) return
    } catch (error) {
      reason = error
    }
    if (performance.now() > deadline)
      throw startError(`${name} is not ready after ${readyWithinMs / 1000} s (${messageOf(reason)})`, folder)
    await sleep(50)
  }
}

function startError(what: string, folder: string): TributaryError {
  const lines = readFileSync(logFile(folder), 'utf8').trimEnd().split('\n').slice(-logTailLines)
  return new TributaryError('unavailable', `${what}: ${lines.join(' | ')}`, { hint: `Its log is ${logFile(folder)}` })
}

/** Whether somebody takes connections there. */
export async function answers(port: number): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function readIdentity(folder: string): Identity | null {
  try {
    return JSON.parse(readFileSync(identityFile(folder), 'utf8')) as Identity
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Field 22 of /proc/PID/stat, counted after the name in parentheses; null when there is no such process, or only its remains. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

const identityFile = (folder: string) => join(folder, 'daemon.json')
const logFile = (folder: string) => join(folder, 'log.txt')
