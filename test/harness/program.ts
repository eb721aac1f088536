/**
 * A Tributary program as a real process: started by its TypeScript entry, ready when it says so, stopped or killed by pid.
 *
 * It stands in a session of its own, so that a Ctrl-C reaches only who started it; and it hangs on a pipe from here, so that it stops
 * when whoever started it is gone, however that ended.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { type ErrorCode, TributaryError } from '@tributary/shared/errors'

export const repository = join(import.meta.dirname, '../..')

/** Lines of its log that an error shows. */
const lastSteps = 3

/** A program that has not stopped by then is killed, ms; its own bounds are 10 and 15 s. */
const stopWithinMs = 20_000

export interface ProgramOptions {
  /** Relative to the repository: `hub/src/main.ts`. */
  readonly entry: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** stdout and stderr are appended here. */
  readonly logFile: string
  /** Put in front of the command: `['strace', …]`. */
  readonly wrapper?: readonly string[]
  /** Default 60,000. */
  readonly readyTimeoutMs?: number
  /** What it notes in its log until it is ready: a line for people a step. */
  readonly onStep?: (step: string) => void
  /** It was ready, and ended though nobody here stopped it. */
  readonly onUnexpectedEnd?: (error: TributaryError) => void
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>

export class Program {
  readonly options: ProgramOptions
  #child: ChildProcess | null = null
  readonly #stopped = new WeakSet<ChildProcess>()

  constructor(options: ProgramOptions) {
    this.options = options
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.options.entry} is not running`)
    return this.#child.pid
  }

  /**
   * Starts it; resolves with the JSON line that has `"event":"ready"`. Throws what the program said was wrong, with its own code and
   * hint, or `unavailable`; or `aborted` when the signal fires first: it is stopped then.
   */
  async start<T extends object>(signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) throw this.#error('aborted', 'not started any more')
    const child = this.#spawn()
    this.#child = child
    keepLog(child, this.options.logFile)
    const starting = new AbortController()
    try {
      const ready = await this.#ready<T>(child, starting.signal, signal)
      child.once('exit', (code, killedBy) => {
        if (!this.#stopped.has(child))
          this.options.onUnexpectedEnd?.(this.#error('unavailable', `ended by itself (${killedBy ?? code})`))
      })
      return ready
    } catch (error) {
      await this.stop()
      throw error
    } finally {
      starting.abort()
    }
  }

  /** Resolves when the running process has ended, for whatever reason. */
  async ended(): Promise<void> {
    const child = this.#child
    if (child !== null && !hasEnded(child)) await once(child, 'exit')
  }

  /** Sends the signal and waits for the end, which SIGKILL brings in the end; nothing to do when it has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === null || child.pid === undefined || hasEnded(child)) return
    const ended = this.ended()
    this.#stopped.add(child)
    child.kill(signal)
    const hard = setTimeout(() => child.kill('SIGKILL'), stopWithinMs)
    await ended
    clearTimeout(hard)
  }

  #spawn(): Child {
    const { entry, args, env, wrapper = [] } = this.options
    const [command, ...rest] = [...wrapper, process.execPath, join(repository, entry), ...args]
    return spawn(command!, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...env, TRIBUTARY_STOP_WITH_STDIN: '1' },
    })
  }

  /** The line that says so, or why it does not come. `until` ends the listening. */
  #ready<T>(child: Child, until: AbortSignal, signal?: AbortSignal): Promise<T> {
    const { onStep, readyTimeoutMs = 60_000 } = this.options
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const steps: string[] = []
    let said: TributaryError | null = null
    onLine(child.stderr, until, line => {
      const step = stepOf(line)
      steps.push(step)
      onStep?.(step)
    })
    onLine(child.stdout, until, line => {
      if (line.startsWith('{') && line.includes('"event":"ready"')) resolve(JSON.parse(line) as T)
      else said = errorSaid(line) ?? said
    })
    const fail = (what: string) => reject(this.#error('unavailable', [what, ...steps.slice(-lastSteps)].join(': ')))
    const timer = setTimeout(() => fail(`not ready after ${readyTimeoutMs / 1000} s`), readyTimeoutMs)
    until.addEventListener('abort', () => clearTimeout(timer), { once: true })
    signal?.addEventListener('abort', () => reject(this.#error('aborted', 'stopped while it started')), { once: true })
    child.once('error', error => fail(error.message))
    child.once('close', (code, killedBy) => {
      if (said === null) fail(`ended before it was ready (${killedBy ?? code})`)
      else reject(said)
    })
    return promise
  }

  #error(code: ErrorCode, what: string): TributaryError {
    const { entry, logFile } = this.options
    return new TributaryError(code, `${nameOf(entry)} ${what}`, { hint: `Its log is ${logFile}` })
  }
}

/** The error document that a program prints under `--json`, with its code and hint; null for any other line. */
export function errorSaid(line: string): TributaryError | null {
  if (!line.startsWith('{"error":')) return null
  const { error } = JSON.parse(line) as { error: { code: ErrorCode; message: string; hint?: string } }
  return new TributaryError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint })
}

/** `hub/src/main.ts` → `hub`. */
function nameOf(entry: string): string {
  return basename(dirname(dirname(entry)))
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function keepLog(child: Child, file: string): void {
  const log = createWriteStream(file, { flags: 'a' })
  log.on('error', () => undefined) // a full disk costs the log
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  child.once('close', () => log.end())
  // A pipe to a program that has ended.
  child.stdin.on('error', () => undefined)
}

/** Until the signal fires. The stream flows on after it: a pipe that nobody reads would stop the program. */
function onLine(stream: Readable, until: AbortSignal, listener: (line: string) => void): void {
  const lines = createInterface({ input: stream })
  lines.on('line', listener)
  until.addEventListener('abort', () => lines.off('line', listener), { once: true })
}

/** The message of a line of the program's log, or the line itself. */
function stepOf(line: string): string {
  const message = /^\{.*"msg":("(?:[^"\\]|\\.)*")/.exec(line)?.[1]
  return message === undefined ? line.trim() : (JSON.parse(message) as string)
}
