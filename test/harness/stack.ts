/** Hub and agent as real processes on free ports and folders of their own, for proofs, benches and whole-path tests. */
import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import pg from 'pg'
import { findPostmaster, readPassword, stopPostmaster, superuser } from '../../hub/src/database/postmaster.ts'
import { errorSaid, Program, repository } from './program.ts'

export interface StackOptions {
  /** Everything is kept below it. */
  readonly folder: string
  readonly env?: NodeJS.ProcessEnv
  readonly wrapper?: readonly string[]
  /** More lines for the YAML configuration. */
  readonly config?: string
  /** Where people look for it; another one is taken when it is not free. Default any free one. */
  readonly preferredPort?: number
  /** A line for people at every step of the start. */
  readonly onStep?: (step: string) => void
  /** Ends a start that is under way; it throws `aborted` then. */
  readonly signal?: AbortSignal
  /** It ended though nobody here stopped it. */
  readonly onUnexpectedEnd?: (error: TributaryError) => void
}

export interface RunningHub {
  readonly program: Program
  readonly url: string
  readonly port: number
  readonly adminKey: string
  readonly dataDir: string
}

export interface RunningAgent {
  readonly program: Program
  /** The agent's own, also when a wrapper such as strace started it. */
  readonly pid: number
  readonly mqttPort: number
  readonly healthUrl: string
  readonly dataDir: string
}

interface HubReady {
  readonly url: string
  readonly adminKeyFile: string
}

/** Start a hub on a port that it keeps over restarts. */
export function startHub(options: StackOptions): Promise<RunningHub> {
  return onFreePorts(options.preferredPort, 1, ports => startHubOn(ports[0]!, options))
}

async function startHubOn(port: number, options: StackOptions): Promise<RunningHub> {
  const { folder, config = '' } = options
  const dataDir = join(folder, 'hub')
  mkdirSync(dataDir, { recursive: true })
  const configFile = join(folder, 'hub.yaml')
  writeFileSync(configFile, `data_dir: ${quoted(dataDir)}\nlisten:\n  port: ${port}\n${config}`)
  const program = new Program({
    entry: 'hub/src/main.ts',
    args: ['serve', '--config', configFile, '--json'],
    logFile: join(folder, 'hub.log'),
    ...programOptions(options),
  })
  const ready = await program.start<HubReady>(options.signal)
  return { program, url: ready.url, port, dataDir, adminKey: readFileSync(ready.adminKeyFile, 'utf8').trim() }
}

/** Stop a hub, and the Postgres that it left behind if it was killed. */
export async function stopHub({ program, dataDir }: RunningHub): Promise<void> {
  await program.stop()
  const left = findPostmaster(join(dataDir, 'postgres', 'data'))
  if (left !== null) await stopPostmaster(left.pid)
}

export interface AgentOptions extends StackOptions {
  /** Where the uplink sends; without it the agent only buffers. */
  readonly hubUrl?: string
  /** More keys of the section `hub`. */
  readonly hubKeys?: Readonly<Record<string, string>>
}

/** Start an agent on ports that it keeps over restarts. It must have been enrolled before, or it only buffers. */
export function startAgent(options: AgentOptions): Promise<RunningAgent> {
  return onFreePorts(options.preferredPort, 2, ports => startAgentOn(ports[0]!, ports[1]!, options))
}

async function startAgentOn(mqttPort: number, healthPort: number, options: AgentOptions): Promise<RunningAgent> {
  const { folder, config = '', hubUrl, hubKeys = {} } = options
  const dataDir = join(folder, 'agent')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const configFile = writeAgentConfig({ folder, dataDir, mqttPort, healthPort, hubUrl, hubKeys, config })
  const program = new Program({
    entry: 'agent/src/main.ts',
    args: ['run', '--config', configFile, '--json'],
    logFile: join(folder, 'agent.log'),
    ...programOptions(options),
  })
  const { pid } = await program.start<{ pid: number }>(options.signal)
  return { program, pid, mqttPort, healthUrl: `http://127.0.0.1:${healthPort}`, dataDir }
}

/** On a slow disk a start may take minutes: making a database writes some 40 MB. */
const readyTimeoutMs = 120_000

function programOptions({ env, wrapper, onStep, onUnexpectedEnd }: StackOptions) {
  return {
    readyTimeoutMs,
    ...(env && { env }),
    ...(wrapper && { wrapper }),
    ...(onStep && { onStep }),
    ...(onUnexpectedEnd && { onUnexpectedEnd }),
  }
}

interface AgentFile {
  readonly folder: string
  readonly dataDir: string
  readonly mqttPort: number
  readonly healthPort: number
  readonly hubUrl: string | undefined
  readonly hubKeys: Readonly<Record<string, string>>
  readonly config: string
}

function writeAgentConfig({ folder, dataDir, mqttPort, healthPort, hubUrl, hubKeys, config }: AgentFile): string {
  const file = join(folder, 'agent.yaml')
  const hub = { url: hubUrl ?? 'http://127.0.0.1:9', max_backoff: '2s', ...hubKeys }
  const hubLines = Object.entries(hub).map(([key, value]) => `  ${key}: ${value}\n`)
  writeFileSync(
    file,
    `data_dir: ${quoted(dataDir)}\nhub:\n${hubLines.join('')}mqtt:\n  port: ${mqttPort}\nhealth:\n  port: ${healthPort}\n${config}`,
  )
  return file
}

/** A path as YAML: it may hold anything, such as `: ` or ` #`. */
function quoted(path: string): string {
  return JSON.stringify(path)
}

export interface Enrolment {
  readonly folder: string
  readonly hub: RunningHub
  /** Where the agent will reach the hub. */
  readonly hubUrl: string
  /** Default `proof`. */
  readonly site?: string
  /** What people call the gateway; default `gateway`. */
  readonly name?: string
  readonly signal?: AbortSignal
}

/** Make a token at the hub and enrol the agent of `folder` with it. */
export async function enrollAgent(enrolment: Enrolment): Promise<void> {
  const { folder, hub, hubUrl, site = 'proof', name = 'gateway', signal } = enrolment
  const dataDir = join(folder, 'agent')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const created = await runCli(
    'hub/src/main.ts',
    ['token', 'create', '--site', site, '--hub', hub.url, '--json'],
    { TRIBUTARY_ADMIN_KEY: hub.adminKey },
    signal,
  )
  const { token } = JSON.parse(created) as { token: string }
  const configFile = writeAgentConfig({ folder, dataDir, mqttPort: 0, healthPort: 0, hubUrl, hubKeys: {}, config: '' })
  const enroll = ['enroll', '--config', configFile, '--name', name, '--json']
  await runCli('agent/src/main.ts', enroll, { TRIBUTARY_TOKEN: token }, signal)
}

/** Run a command of a program with `--json` to its end; its stdout. Throws the error that it says. The signal kills it. */
export async function runCli(
  entry: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  signal?: AbortSignal,
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [join(repository, entry), ...args], {
      env: { ...process.env, ...env },
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    })
    return stdout
  } catch (error) {
    throw errorSaid((error as { stdout?: string }).stdout ?? '') ?? error
  }
}

/** A pool on the Postgres that the hub of this data folder runs. */
export function hubPool(dataDir: string): pg.Pool {
  const home = join(dataDir, 'postgres')
  const postmaster = findPostmaster(join(home, 'data'))
  if (postmaster === null) throw new Error(`no Postgres runs in ${home}`)
  const password = readPassword(home)
  return new pg.Pool({
    host: '127.0.0.1',
    port: postmaster.port,
    user: superuser,
    password,
    database: 'tributary',
    max: 2,
  })
}

/** Somebody else may take a port between the look and the start: then another one, a few times. */
const portTries = 3

async function onFreePorts<T>(
  preferred: number | undefined,
  count: number,
  start: (ports: readonly number[]) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const ports = [await freePort(tries === 1 ? preferred : undefined)]
    while (ports.length < count) ports.push(await freePort())
    try {
      return await start(ports)
    } catch (error) {
      if (!isTributaryError(error, 'in-use') || tries === portTries) throw error
    }
  }
}

/**
 * A port that a program can take again after it was killed: below the range from which the kernel gives ports to outgoing connections
 * (32768 and up), where another connection may have it by then.
 */
export async function freePort(preferred?: number): Promise<number> {
  for (let port = preferred ?? anyPort(); ; port = anyPort()) if (await isFree(port)) return port
}

function anyPort(): number {
  return randomInt(20_000, 32_000)
}

/** Throws where no port can be had: a machine without its loopback address. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false
    throw new TributaryError('not-supported', `cannot listen on 127.0.0.1: ${messageOf(error)}`, {
      cause: error,
      hint: 'Everything here talks over 127.0.0.1: is the loopback device up? ip link set lo up',
    })
  }
  server.close()
  await once(server, 'close')
  return true
}
