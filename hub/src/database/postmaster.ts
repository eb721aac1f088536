/**
 * One Postgres server process of one data folder: made, found, started, stopped.
 *
 * Folder `home` (the hub's own, 0711 so that the lent account may pass):
 *   data/          PGDATA, 0700, owned by the account that Postgres runs as
 *   password       of the superuser `tributary`, 0600, the hub's own
 *   postgres.log   what the server says; above `logBytes` it moves to postgres.log.1
 * `home` is made under another name and renamed, so that it is whole or absent, also when two hubs make it at once.
 *
 * Where Postgres runs as a lent account it is given `/proc/self/cwd` for its data folder: the hub enters the folder before it
 * gives up its rights, so the data may stand below folders which that account cannot enter (a 0700 home) and stays where it was asked for.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readlinkSync, realpathSync, unlinkSync } from 'node:fs'
import { chown, copyFile, mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { TributaryError } from '@tributary/shared/errors'
import type { Account } from './postgres-account.ts'
import type { PostgresTree } from './postgres-tree.ts'

export interface PostgresHome {
  readonly home: string
  readonly data: string
  readonly tree: PostgresTree
  readonly account: Account | null
}

export interface Postmaster {
  readonly pid: number
  readonly port: number
}

export const superuser = 'tributary'
const logBytes = 16 * 1024 * 1024

/** Durability is left at Postgres' defaults (fsync, synchronous_commit and full_page_writes on) and is not configurable. */
function settings(port: number, sharedBuffersMb: number): Record<string, string> {
  return {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    password_encryption: 'scram-sha-256',
    shared_buffers: `${sharedBuffersMb}MB`,
    // Neither needs /dev/shm, which is 64 MB in a container.
    shared_memory_type: 'mmap',
    dynamic_shared_memory_type: 'mmap',
    max_wal_size: '1GB',
    wal_compression: 'pglz',
    timezone: 'UTC',
    log_timezone: 'UTC',
    logging_collector: 'off',
    log_statement: 'none',
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
  }
}

/** Make `home` if it is not there. Throws `aborted` when the signal fires first. */
export async function makeHome(at: PostgresHome, report: (step: string) => void, signal?: AbortSignal): Promise<void> {
  if (await exists(at.home)) return
  report(`making a Postgres data folder in ${at.home}`)
  await removeUnfinished(at.home)
  const fresh = `${at.home}.${process.pid}.${randomBytes(4).toString('hex')}.new`
  const data = join(fresh, 'data')
  await mkdir(data, { recursive: true })
  if (at.account !== null) await chown(data, at.account.uid, at.account.gid)
  const password = randomBytes(24).toString('base64url')
  await writeFile(join(fresh, 'password'), password, { mode: 0o600 })
  try {
    await initdb(at, fresh, password, signal)
    await rename(fresh, at.home)
  } catch (error) {
    if (!(await exists(at.home))) throw error // else another hub was faster, and its folder is as good
  } finally {
    await rm(fresh, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What hubs that were killed while they made the folder left behind. */
async function removeUnfinished(home: string): Promise<void> {
  const parent = dirname(home)
  for (const name of await readdir(parent).catch(() => [])) {
    const pid = name.startsWith(`${basename(home)}.`) ? /\.(\d+)\.[0-9a-f]{8}\.new$/.exec(name)?.[1] : undefined
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(parent, name), { recursive: true, force: true })
  }
}

async function initdb(at: PostgresHome, fresh: string, password: string, signal?: AbortSignal): Promise<void> {
  const cwd = join(fresh, 'data')
  // initdb reads the password from its standard input: a file without a name, owned by the account that opens it.
  const file = join(fresh, 'stdin')
  await writeFile(file, password, { mode: 0o600 })
  if (at.account !== null) await chown(file, at.account.uid, at.account.gid)
  const input = openSync(file, 'r')
  unlinkSync(file)
  const log = openSync(join(fresh, 'postgres.log'), 'a', 0o600)
  try {
    const args = ['-D', dataArgument(at, cwd), '-U', superuser, '--locale=C', '--encoding=UTF8', '--auth=scram-sha-256']
    const child = spawn(join(at.tree.bin, 'initdb'), [...args, '--pwfile=/dev/stdin'], {
      ...processOptions(at, cwd),
      stdio: [input, log, log],
      detached: true,
    })
    // With the programs that it runs: what they write is thrown away.
    const stop = () => void (child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'))
    const ended = new Promise((resolve, reject) => child.once('error', reject).once('exit', resolve))
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
    const code = await ended.finally(() => signal?.removeEventListener('abort', stop))
    if (signal?.aborted) throw stoppedWhileStarting()
    if (code !== 0) throw new TributaryError('storage', `initdb failed in ${at.home}: ${await logTail(fresh)}`)
  } finally {
    closeSync(input)
    closeSync(log)
  }
}

/** Refuse a data folder that another major version made. */
export async function checkVersion(at: PostgresHome): Promise<void> {
  const found = (await readFile(join(at.data, 'PG_VERSION'), 'utf8')).trim()
  if (found === at.tree.major) return
  throw new TributaryError(
    'unsupported-version',
    `${at.data} was made by Postgres ${found}, this hub brings ${at.tree.major}`,
    {
      hint:
        `with the programs of Postgres ${found}: pg_ctl -D ${at.data} -o '-p 5499' start && ` +
        `pg_dump -h 127.0.0.1 -p 5499 -U ${superuser} -Fc -f tributary.dump tributary && pg_ctl -D ${at.data} stop; ` +
        `then move ${at.home} away, start the hub once, stop it, and pg_restore -d tributary tributary.dump ` +
        `(the passwords are in ${at.home}/password)`,
    },
  )
}

export function readPassword(home: string): string {
  return readFileSync(join(home, 'password'), 'utf8').trim()
}

/**
 * The live server of this folder, or null. `postmaster.pid` may be left over from a crash and its number belong to someone else
 * by now: on Linux only a process whose working folder is this data folder counts, and a file that names another one is removed
 * (Postgres would refuse to start while any process of its own account has that number).
 */
export function findPostmaster(data: string): Postmaster | null {
  const file = join(data, 'postmaster.pid')
  let lines: string[]
  try {
    lines = readFileSync(file, 'utf8').split('\n')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const pid = Number(lines[0])
  const port = Number(lines[3])
  if (!isAlive(pid)) return null
  if (process.platform === 'linux' && !worksIn(pid, data)) {
    unlinkSync(file)
    return null
  }
  // Line 8 says `ready` once connections are taken; before that the port may not stand there yet.
  return lines[7]?.trim() === 'ready' && port > 0 ? { pid, port } : { pid, port: 0 }
}

function worksIn(pid: number, data: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM') return false
    throw error
  }
}

export function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export function stoppedWhileStarting(): TributaryError {
  return new TributaryError('aborted', 'stopped while Postgres started')
}

/**
 * Start the server in a session of its own, so that a terminal's Ctrl-C reaches the hub alone. Resolves when it takes
 * connections. When another hub's server has the folder, that one is returned, and is not `ours`. When the signal fires first, the server is stopped.
 */
export async function startPostmaster(
  at: PostgresHome,
  port: number,
  sharedBuffersMb: number,
  signal?: AbortSignal,
): Promise<Postmaster & { readonly ours: boolean }> {
  await boundLog(at.home)
  const log = openSync(join(at.home, 'postgres.log'), 'a', 0o600)
  const args = ['-D', dataArgument(at, at.data)]
  for (const [name, value] of Object.entries(settings(port, sharedBuffersMb))) args.push('-c', `${name}=${value}`)
  const child = spawn(join(at.tree.bin, 'postgres'), args, {
    ...processOptions(at, at.data),
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  let ended: string | null = null
  child.once('exit', (code, signal) => {
    ended = `exit ${code ?? signal}`
  })
  child.once('error', error => {
    ended = error.message
  })
  child.unref()
  for (;;) {
    if (signal?.aborted) {
      if (child.pid !== undefined && ended === null) await stopPostmaster(child.pid)
      throw stoppedWhileStarting()
    }
    const found = findPostmaster(at.data)
    if (found !== null && found.port > 0) return { ...found, ours: found.pid === child.pid }
    if (ended !== null && found === null) {
      throw new TributaryError(
        'unavailable',
        `Postgres did not start in ${at.home} (${ended}): ${await logTail(at.home)}`,
        {
          hint: `its log is ${join(at.home, 'postgres.log')}`,
        },
      )
    }
    await sleepMs(20)
  }
}

/** A fast shutdown (SIGINT): open transactions are rolled back, a checkpoint is written. Killed harder after `timeoutMs`. */
export async function stopPostmaster(pid: number, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  signalIfAlive(pid, 'SIGINT')
  while (isAlive(pid)) {
    // An immediate shutdown loses nothing committed: the next start replays the write-ahead log.
    if (performance.now() > deadline) signalIfAlive(pid, 'SIGQUIT')
    await sleepMs(performance.now() > deadline ? 1000 : 20)
  }
}

function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  if (isAlive(pid)) process.kill(pid, signal)
}

/** Keep the log within twice `logBytes`. The server appends, so that emptying the file under it is safe. */
export async function boundLog(home: string): Promise<void> {
  const log = join(home, 'postgres.log')
  if (!(await exists(log)) || (await stat(log)).size <= logBytes) return
  await copyFile(log, `${log}.1`)
  await truncate(log)
}

/** The last lines of the log, for an error message. */
async function logTail(home: string): Promise<string> {
  const text = await readFile(join(home, 'postgres.log'), 'utf8')
  return text.trim().split('\n').slice(-4).join(' | ').slice(-600)
}

function processOptions(
  at: PostgresHome,
  cwd: string,
): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  // A bare environment: the hub's own may hold secrets, and PG* variables would change the settings.
  const base = { cwd, env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } }
  return at.account === null ? base : { ...base, uid: at.account.uid, gid: at.account.gid }
}

function dataArgument(at: PostgresHome, data: string): string {
  return at.account !== null && process.platform === 'linux' ? '/proc/self/cwd' : data
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null
}

function sleepMs(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
