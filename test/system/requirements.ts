/**
 * The Debian programs that `npm run test:system`, `npm run test:services` and the proofs need. Missing ones end with the line that
 * installs them: such a test fails, it is never skipped.
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Program → Debian package. */
type Programs = Readonly<Record<string, string>>

const system: Programs = {
  bwrap: 'bubblewrap',
  cc: 'gcc libc6-dev',
  chromium: 'chromium',
  ip: 'iproute2',
  mosquitto: 'mosquitto',
  mount: 'mount',
  openssl: 'openssl',
  prlimit: 'util-linux',
  python3: 'python3',
  setpriv: 'util-linux',
  strace: 'strace',
  'systemd-analyze': 'systemd',
  taskset: 'util-linux',
  umount: 'mount',
  unshare: 'util-linux',
}

const services: Programs = {
  initdb: 'postgresql',
  java: 'openjdk-17-jre-headless',
  mosquitto: 'mosquitto',
  mvn: 'maven',
  openssl: 'openssl',
  'redis-server': 'redis-server',
}

const needed: Programs = { ...system, ...services }

/** Debian keeps the programs of each Postgres in a folder of their own, out of PATH. */
const debianPostgres = '/usr/lib/postgresql'

/** Throws with the apt line when one of `programs` is not in PATH. */
export function requirePrograms(...programs: string[]): void {
  const missing = programs.filter(program => findProgram(program) === null)
  if (missing.length > 0) throw missingError(missing)
}

/** Where a program stands; throws with the apt line when it is not in PATH. */
export function requireProgram(program: string): string {
  const path = findProgram(program)
  if (path === null) throw missingError([program])
  return path
}

export function missingError(missing: readonly string[]): Error {
  const packages = new Set(missing.map(program => needed[program] ?? program))
  return new Error(`missing ${missing.join(', ')}; install with: apt-get install -y ${[...packages].join(' ')}`)
}

/** Where a program stands, or null. */
export function findProgram(program: string): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...postgresFolders()]
  const paths = folders.map(folder => join(folder, program))
  return paths.find(isExecutable) ?? null
}

/** The newest first. */
function postgresFolders(): string[] {
  const majors = existsSync(debianPostgres) ? readdirSync(debianPostgres) : []
  return majors.sort((a, b) => Number(b) - Number(a)).map(major => join(debianPostgres, major, 'bin'))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

if (import.meta.main) {
  try {
    requirePrograms(...Object.keys(process.argv[2] === 'services' ? services : system))
  } catch (error) {
    console.error((error as Error).message)
    process.exitCode = 1
  }
}
