/**
 * `npm run demo` as a stranger runs it: with an environment of its own and the shell's Node, piped or in a terminal, from a copy of
 * the repository or from the repository itself. And what is left of it afterwards.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type IPty, spawn as spawnPty } from '@lydell/node-pty'
import type { DemoResult } from '../../demo/result.ts'
import { repository } from '../harness/program.ts'

/** Beside the repository's usual file systems: /tmp may be a small one in memory. */
const scratch = '/var/tmp'

/** Longer than any run below takes on a busy machine. */
const patienceMs = 90_000

const notCopied = new Set(['.git', 'node_modules', '.tributary', '.prove', 'coverage', 'hub-data', 'agent-data'])

/** A folder with mode 0700 that is removed when it is disposed. */
export async function scratchFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(scratch, 'tributary-demo-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** What a clone holds after `npm ci`; without the packages it costs no disk. */
export async function copyRepository(to: string, packages: 'linked' | 'none' = 'linked'): Promise<void> {
  await cp(repository, to, { recursive: true, filter: path => !notCopied.has(path.slice(path.lastIndexOf('/') + 1)) })
  if (packages === 'linked') await run('cp', ['-al', join(repository, 'node_modules'), join(to, 'node_modules')])
}

export const run = promisify(execFile)

export interface DemoOptions {
  /** Where `npm` runs; default the repository. */
  readonly cwd?: string
  readonly args?: readonly string[]
  /** Beside PATH and HOME; undefined takes one away. */
  readonly env?: NodeJS.ProcessEnv
  /** The whole command line in place of `npm run demo -- ARGS`. */
  readonly command?: readonly string[]
  readonly uid?: number
  readonly gid?: number
}

export class RunningDemo {
  stdout = ''
  stderr = ''
  readonly child: ChildProcess
  readonly #ended: Promise<number>

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.on('data', chunk => {
      this.stdout += chunk
    })
    child.stderr?.on('data', chunk => {
      this.stderr += chunk
    })
    this.#ended = once(child, 'close').then(([code, signal]) => signal ?? code)
  }

  /** Resolves when it has said so, on either stream. Throws with what it said when it ends before. */
  async said(what: RegExp): Promise<RegExpExecArray> {
    return await hasSaid(what, () => this.stderr + this.stdout, this.#ended)
  }

  /** Exit code, or the signal that ended it. */
  ended(): Promise<number | string> {
    return this.#ended
  }

  /** Its result; throws with all it said unless it ended with 0 and a single JSON document on stdout. */
  async result(): Promise<DemoResult> {
    const code = await this.#ended
    if (code !== 0) throw new Error(`exit ${code}\n${this.stdout}\n${this.stderr}`)
    return JSON.parse(this.stdout) as DemoResult
  }

  /** The `node` that is the demo, below npm and the shell. */
  async pid(): Promise<number> {
    const [found] = await processesOf(this.child.pid!, 'demo/main.ts', 'demo/run.js')
    if (found === undefined) throw new Error(`no demo runs below ${this.child.pid}`)
    return found
  }
}

export function startDemo({
  cwd = repository,
  args = [],
  env = {},
  command,
  ...account
}: DemoOptions = {}): RunningDemo {
  const [program, ...rest] = command ?? demoCommand(...args)
  return new RunningDemo(
    spawn(program!, rest, { cwd, env: strangersEnv(env), stdio: ['ignore', 'pipe', 'pipe'], ...account }),
  )
}

export function demoCommand(...args: string[]): string[] {
  return ['npm', 'run', '-s', 'demo', '--', ...args]
}

/** The shell's own, without what npm and vitest add to it. */
export function strangersEnv(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const path = (process.env.PATH ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  return { PATH: path.join(delimiter), HOME: process.env.HOME, LANG: 'C.UTF-8', ...more }
}

/** The demo in a terminal of its own. */
export class DemoInTerminal {
  output = ''
  readonly #pty: IPty
  readonly #ended: Promise<number>

  constructor({ args = [], env = {}, columns = 80 }: DemoOptions & { readonly columns?: number }) {
    const [program, ...rest] = demoCommand(...args)
    this.#pty = spawnPty(program!, rest, {
      name: env.TERM ?? 'xterm-256color',
      cols: columns,
      rows: 24,
      cwd: repository,
      env: strangersEnv(env),
    })
    this.#pty.onData(text => {
      this.output += text
    })
    this.#ended = new Promise(resolve =>
      this.#pty.onExit(({ exitCode, signal }) => resolve(signal ? 128 + signal : exitCode)),
    )
  }

  said(what: RegExp): Promise<RegExpExecArray> {
    return hasSaid(what, () => this.output, this.#ended)
  }

  pressCtrlC(): void {
    this.#pty.write('\x03')
  }

  /** As when the window is closed: the kernel sends SIGHUP. */
  close(): void {
    ;(this.#pty as IPty & { destroy(): void }).destroy()
  }

  /** As the shell sees it: 130 where npm passed the Ctrl-C on to itself. */
  ended(): Promise<number> {
    return this.#ended
  }
}

async function hasSaid(what: RegExp, text: () => string, ended: Promise<unknown>): Promise<RegExpExecArray> {
  let over = false
  void ended.then(() => {
    over = true
  })
  for (const endMs = Date.now() + patienceMs; ; await sleep(20)) {
    const found = what.exec(text())
    if (found !== null) return found
    if (over || Date.now() > endMs) throw new Error(`${over ? 'ended' : 'waited'} without ${what}:\n${text()}`)
  }
}

/** Resolves with how long it took until no process stood in that folder or named it any more. Throws with what still runs. */
export async function nothingRunsIn(folder: string, withinMs: number): Promise<number> {
  const startMs = performance.now()
  for (;;) {
    const left = await processesIn(folder)
    const tookMs = performance.now() - startMs
    if (left.length === 0) return tookMs
    if (tookMs > withinMs) throw new Error(`still running after ${withinMs / 1000} s:\n${left.join('\n')}`)
    await sleep(50)
  }
}

/** `pid command line` of each. */
export async function processesIn(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of await pids()) {
    const line = await commandLine(pid)
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '')
    if (pid !== process.pid && (line.includes(folder) || `${cwd}/`.startsWith(`${folder}/`)))
      found.push(`${pid} ${line}`)
  }
  return found
}

/** Processes below `root` whose command line names one of these files; the deepest last. */
async function processesOf(root: number, ...named: string[]): Promise<number[]> {
  const parents = new Map<number, number>()
  for (const pid of await pids()) parents.set(pid, await parentOf(pid))
  const below = (pid: number): boolean => pid === root || (parents.has(pid) && below(parents.get(pid)!))
  const found: number[] = []
  for (const pid of parents.keys()) {
    const line = await commandLine(pid)
    if (below(pid) && named.some(name => line.includes(name)) && /\/?node$/.test(line.split(' ')[0]!)) found.push(pid)
  }
  return found.reverse()
}

async function pids(): Promise<number[]> {
  return (await readdir('/proc')).map(Number).filter(Number.isInteger)
}

async function commandLine(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim()
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}
