/** Hub and agent as real processes on free ports and folders of their own, for proofs, benches and whole-path tests. */
import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { findPostmaster, readPassword, superuser } from '../../hub/src/database/postmaster.ts'
import { Program, repository } from './program.ts'

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
export async function startHub(options: StackOptions): Promise<RunningHub> {
  const { folder, config = '' } = options
  const dataDir = join(folder, 'hub')
  mkdirSync(dataDir, { recursive: true })
  const port = await freePort(options.preferredPort)
  const configFile = join(folder, 'hub.yaml')
  writeFileSync(configFile, `data_dir: ${dataDir}\nlisten:\n  port: ${port}\n${config}`)
  const program = new Program({
    entry: 'hub/src/main.ts',
    args: ['serve', '--config', configFile, '--json'],
    logFile: join(folder, 'hub.log'),
    ...programOptions(options),
  })
  const ready = await program.start<HubReady>()
  return { program, url: ready.url, port, dataDir, adminKey: readFileSync(ready.adminKeyFile, 'utf8').trim() }
}

export interface AgentOptions extends StackOptions {
  /** Where the uplink sends; without it the agent only buffers. */
  readonly hubUrl?: string
}

/** Start an agent on ports that it keeps over restarts. It must have been enrolled before, or it only buffers. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { folder, config = '', hubUrl } = options
  const dataDir = join(folder, 'agent')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const [mqttPort, healthPort] = [await freePort(options.preferredPort), await freePort()]
  const configFile = writeAgentConfig(folder, dataDir, mqttPort, healthPort, hubUrl, config)
  const program = new Program({
    entry: 'agent/src/main.ts',
    args: ['run', '--config', configFile, '--json'],
    logFile: join(folder, 'agent.log'),
    ...programOptions(options),
  })
  const { pid } = await program.start<{ pid: number }>()
  return { program, pid, mqttPort, healthUrl: `http://127.0.0.1:${healthPort}`, dataDir }
}

/** On a slow disk a start may take minutes: making a database writes some 40 MB. */
const readyTimeoutMs = 120_000

function programOptions({ env, wrapper, onStep }: StackOptions) {
  return { readyTimeoutMs, ...(env && { env }), ...(wrapper && { wrapper }), ...(onStep && { onStep }) }
}

function writeAgentConfig(
  folder: string,
  dataDir: string,
  mqtt: number,
  health: number,
  hubUrl = 'http://127.0.0.1:9',
  more = '',
): string {
  const file = join(folder, 'agent.yaml')
  writeFileSync(
    file,
    `data_dir: ${dataDir}\nhub:\n  url: ${hubUrl}\n  max_backoff: 2s\nmqtt:\n  port: ${mqtt}\nhealth:\n  port: ${health}\n${more}`,
  )
  return file
}

export interface EnrollOptions {
  readonly site?: string
  readonly name?: string
}

/** Make a token at the hub and enrol the agent of `folder` with it. */
export async function enrollAgent(
  folder: string,
  hub: RunningHub,
  hubUrl: string,
  { site = 'proof', name = 'gateway' }: EnrollOptions = {},
): Promise<void> {
  const dataDir = join(folder, 'agent')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const created = await runCli('hub/src/main.ts', ['token', 'create', '--site', site, '--hub', hub.url, '--json'], {
    TRIBUTARY_ADMIN_KEY: hub.adminKey,
  })
  const { token } = JSON.parse(created) as { token: string }
  const configFile = writeAgentConfig(folder, dataDir, 0, 0, hubUrl)
  await runCli('agent/src/main.ts', ['enroll', '--config', configFile, '--name', name, '--json'], {
    TRIBUTARY_TOKEN: token,
  })
}

/** Run a command of a program to its end; its stdout. Throws with its stderr when it fails. */
export async function runCli(entry: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(repository, entry), ...args], {
    env: { ...process.env, ...env },
  })
  return stdout
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

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const listening = await new Promise<boolean>(resolve => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (listening) await new Promise(resolve => server.close(resolve))
  return listening
}
