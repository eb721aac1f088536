/** A Tributary program as a real process: started by its TypeScript entry, ready when it says so, stopped or killed by pid. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const repository = join(import.meta.dirname, '../..')

export interface ProgramOptions {
  /** Relative to the repository: `hub/src/main.ts`. */
  readonly entry: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** stdout and stderr are appended here. */
  readonly logFile: string
  /** Put in front of the command: `['strace', …]`. */
  readonly wrapper?: readonly string[]
  readonly readyTimeoutMs?: number
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
    const { entry, args, env, logFile, wrapper = [], readyTimeoutMs = 60_000 } = this.options
    const [command, ...rest] = [...wrapper, process.execPath, join(repository, entry), ...args]
    const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    this.#child = child
    const log = createWriteStream(logFile, { flags: 'a' })
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    child.once('close', () => log.end())
    const lines = createInterface({ input: child.stdout })
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail(`not ready after ${readyTimeoutMs} ms`), readyTimeoutMs)
      const fail = (what: string) => {
        clearTimeout(timer)
        reject(new Error(`${entry} ${args.join(' ')}: ${what}; see ${logFile}`))
      }
      child.once('error', error => fail(error.message))
      child.once('exit', (code, signal) => fail(`ended before it was ready (${signal ?? code})`))
      lines.on('line', line => {
        const message = parseReady(line)
        if (message === null) return
        clearTimeout(timer)
        lines.removeAllListeners('line')
        resolve(message as T)
      })
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

function parseReady(line: string): object | null {
  if (!line.startsWith('{') || !line.includes('"event":"ready"')) return null
  return JSON.parse(line) as object
}
