/**
 * A Tributary program as a real process: started by its TypeScript entry, ready when it says so, stopped or killed by pid.
 *
 * It stands in a session of its own, so that a Ctrl-C reaches only who started it; and it hangs on a pipe from here, so that it stops
 * when whoever started it is gone, however that ended.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export const repository = join(import.meta.dirname, '../..')

/** Lines of its log that an error shows. */
const lastSteps = 3

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
}

export class Program {
  readonly options: ProgramOptions
  #child: ChildProcess | null = null

  constructor(options: ProgramOptions) {
    this.options = options
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.options.entry} is not running`)
    return this.#child.pid
  }

  /** Starts it; resolves with the JSON line that has `"event":"ready"`. */
  async start<T extends object>(): Promise<T> {
    const { entry, args, env, logFile, wrapper = [], readyTimeoutMs = 60_000, onStep } = this.options
    const [command, ...rest] = [...wrapper, process.execPath, join(repository, entry), ...args]
    const child = spawn(command!, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...env, TRIBUTARY_STOP_WITH_STDIN: '1' },
    })
    this.#child = child
    keepLog(child, logFile)
    const steps: string[] = []
    const starting = new AbortController()
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const fail = (what: string) => {
      const said = steps.slice(-lastSteps).join(' ')
      reject(new Error(`${entry} ${args.join(' ')}: ${what}${said && `: ${said}`}; see ${logFile}`))
    }
    onLine(child.stderr, starting.signal, line => {
      const step = stepOf(line)
      steps.push(step)
      onStep?.(step)
    })
    onLine(child.stdout, starting.signal, line => {
      if (line.startsWith('{') && line.includes('"event":"ready"')) resolve(JSON.parse(line) as T)
    })
    const timer = setTimeout(() => fail(`not ready after ${readyTimeoutMs} ms`), readyTimeoutMs)
    child.once('error', error => fail(error.message))
    child.once('close', (code, signal) => fail(`ended before it was ready (${signal ?? code})`))
    return promise.finally(() => {
      clearTimeout(timer)
      starting.abort()
    })
  }

  /** Resolves when the running process has ended, for whatever reason. */
  async ended(): Promise<void> {
    const child = this.#child
    if (child !== null && child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }

  /** Sends the signal and waits for the end; nothing to do when it has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = this.ended()
    child.kill(signal)
    await ended
  }
}

function keepLog(child: ChildProcessByStdio<Writable, Readable, Readable>, file: string): void {
  const log = createWriteStream(file, { flags: 'a' })
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
