/**
 * A container without a Docker engine: a command in a file system and process tree of its own (bubblewrap), as the account that the
 * image or the compose file names, without capabilities, with a read-only root, and with no environment but the one given.
 *
 * Not as in Docker: the network is the machine's (names of services lead to loopback), the base system is this machine's /usr, and
 * all accounts are one account outside, so that a file is never refused because another service owns it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface Mount {
  readonly from: string
  readonly to: string
  readonly writable?: boolean
}

export interface ContainerOptions {
  /** Folder for what every container shares; made by `prepareHost`. */
  readonly host: string
  /** `uid:gid` */
  readonly user: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly mounts: readonly Mount[]
  /** Folders in memory. */
  readonly tmpfs?: readonly string[]
}

/** The unprivileged account that sandboxes run as when the tests run as root: `nobody`. */
export const outsideAccount = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : null

/** Lets the accounts of sandboxes write to a folder. */
export function giveAway(folder: string): void {
  if (outsideAccount !== null) chownSync(folder, outsideAccount.uid, outsideAccount.gid)
}

/** Node, accounts and host names: what is the same in every container. */
export function prepareHost(host: string, names: readonly string[]): void {
  mkdirSync(join(host, 'etc'), { recursive: true })
  copyFileSync(process.execPath, join(host, 'node'))
  const account = ([name, id]: readonly [string, number]) => `${name}:x:${id}:${id}::/nonexistent:/usr/sbin/nologin\n`
  const accounts = [
    ['root', 0],
    ['tributary-hub', 10001],
    ['tributary-agent', 10002],
  ] as const
  writeFileSync(join(host, 'etc/passwd'), accounts.map(account).join(''))
  writeFileSync(join(host, 'etc/hosts'), `127.0.0.1 localhost ${names.join(' ')}\n::1 localhost\n`)
}

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end. */
export async function runContainer(
  options: ContainerOptions,
  command: readonly string[],
  stdin = '',
): Promise<Finished> {
  const child = spawnSandbox(options, command)
  child.stdin!.end(stdin)
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    new Promise<number>(resolve => child.once('close', code => resolve(code ?? -1))),
  ])
  return { code, stdout, stderr }
}

/** A command that runs until it is told to stop. */
export class Service {
  readonly options: ContainerOptions
  readonly #child: ChildProcess
  readonly #ended: Promise<number>
  readonly #pid: Promise<number>
  /** What it said so far, both streams. */
  output = ''

  constructor(options: ContainerOptions, command: readonly string[]) {
    this.options = options
    this.#child = spawnSandbox(options, command)
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.on('data', part => {
        this.output += part
      })
    }
    this.#ended = new Promise(resolve => this.#child.once('close', code => resolve(code ?? -1)))
    this.#pid = insidePid(this.#child)
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Signals the first process of the container, as Docker does, and resolves with its exit code. */
  async stop(signal: NodeJS.Signals): Promise<number> {
    if (this.running) process.kill(await this.#pid, signal)
    return this.#ended
  }
}

function spawnSandbox(options: ContainerOptions, command: readonly string[]): ChildProcess {
  return spawn('bwrap', [...sandboxArguments(options), ...command], {
    ...outsideAccount,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  })
}

/** bubblewrap says it on the descriptor given by --json-status-fd, which it needs until it ends. */
function insidePid(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.stdio[3]!.on('data', part => {
      const pid = /"child-pid": (\d+)/.exec(String(part))?.[1]
      if (pid !== undefined) resolve(Number(pid))
    })
    child.once('close', code => reject(new Error(`bwrap started nothing (exit ${code})`)))
  })
}

function sandboxArguments({ host, user, workdir, env, mounts, tmpfs = [] }: ContainerOptions): string[] {
  const [uid = '', gid = ''] = user.split(':')
  const mounted = mounts.flatMap(({ from, to, writable }) => [writable ? '--bind' : '--ro-bind', from, to])
  return [
    ...['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--as-pid-1', '--die-with-parent'],
    ...['--uid', uid, '--gid', gid, '--json-status-fd', '3'],
    ...['bin', 'sbin', 'lib', 'lib64'].flatMap(name => [
      ...(existsSync(`/usr/${name}`)
        ? ['--ro-bind', `/usr/${name}`, `/usr/${name}`, '--symlink', `usr/${name}`, `/${name}`]
        : []),
    ]),
    ...['--ro-bind', join(host, 'node'), '/usr/local/bin/node'],
    ...['passwd', 'hosts'].flatMap(name => ['--ro-bind', join(host, 'etc', name), `/etc/${name}`]),
    ...['--ro-bind', '/etc/ssl', '/etc/ssl', '--proc', '/proc', '--dev', '/dev'],
    ...tmpfs.flatMap(path => ['--tmpfs', path]),
    ...mounts.flatMap(({ to }) => ['--dir', dirname(to)]),
    ...mounted,
    ...['--remount-ro', '/', '--chdir', workdir, '--clearenv'],
    ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
    '--',
  ]
}
