/**
 * The Debian programs that `npm run test:system` and the proofs need. Missing ones end with the line that installs them: such a
 * test fails, it is never skipped.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Program → Debian package. */
const needed: Readonly<Record<string, string>> = {
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

function missingError(missing: readonly string[]): Error {
  const packages = new Set(missing.map(program => needed[program] ?? program))
  return new Error(`missing ${missing.join(', ')}; install with: apt-get install -y ${[...packages].join(' ')}`)
}

function findProgram(program: string): string | null {
  const paths = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, program))
  return paths.find(isExecutable) ?? null
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
    requirePrograms(...Object.keys(needed))
  } catch (error) {
    console.error((error as Error).message)
    process.exitCode = 1
  }
}
