/** What lints deploy/: each linter with the files that are its business. Output is returned, for whoever has to mend the file. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { repository, toolEnvironment, tools } from './tools.ts'

/** Highest exposure that `systemd-analyze security` may find, in tenths: below 2.0 it says OK. */
const highestExposure = 15

export interface Linter {
  readonly name: string
  readonly files: readonly string[]
  /** Null when the file is good, else what is wrong with it. */
  check(file: string): string | null
}

const deploy = join(repository, 'deploy')
const composeLintConfig = join(import.meta.dirname, 'compose-lint.yml')
const below = (folder: string, suffix: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(suffix))
    .map(name => join(folder, name))

export const linters: readonly Linter[] = [
  {
    name: 'hadolint',
    files: below(join(deploy, 'docker'), '.Dockerfile'),
    check: file => complaint(tools.hadolint, ['--no-color', file]),
  },
  {
    name: 'compose-spec',
    files: [join(deploy, 'compose.yaml')],
    check: file => complaint(tools.composeSpec, [file]),
  },
  {
    name: 'compose-lint',
    files: [join(deploy, 'compose.yaml')],
    check: file =>
      complaint(tools.composeLint, [
        'check',
        '--fail-on',
        'low',
        '--strict-config',
        '--config',
        composeLintConfig,
        file,
      ]),
  },
  {
    name: 'shellcheck',
    files: [...below(deploy, '.sh'), join(repository, '.ci/run')],
    check: file => complaint(tools.shellcheck, ['--color=never', file]),
  },
  {
    name: 'systemd-analyze verify',
    files: below(join(deploy, 'systemd'), '.service'),
    check: file => verifyUnit(file),
  },
  {
    name: 'systemd-analyze verify, as drop-in',
    files: below(join(deploy, 'systemd'), '.conf'),
    check: file => verifyUnit(join(deploy, 'systemd/tributary-hub.service'), file),
  },
  {
    name: 'systemd-analyze security',
    files: below(join(deploy, 'systemd'), '.service'),
    check: file =>
      complaint('systemd-analyze', [
        'security',
        '--no-pager',
        '--offline=true',
        `--threshold=${highestExposure}`,
        file,
      ]),
  },
]

function complaint(program: string, args: readonly string[]): string | null {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env: toolEnvironment })
  if (error !== undefined) throw error
  return status === 0 ? null : `${stdout}${stderr}`.trim() || `exit ${status}`
}

/**
 * In a copy whose program exists on this machine. A directive that systemd does not know is ignored at run time, with exit code 0:
 * so whatever is printed counts.
 */
function verifyUnit(file: string, dropIn?: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'))
  try {
    const copy = join(folder, basename(file))
    const text = readFileSync(file, 'utf8')
    writeFileSync(copy, text.replace(/^ExecStart=\/opt\/\S+\/node /gm, `ExecStart=${process.execPath} `))
    if (dropIn !== undefined) {
      mkdirSync(`${copy}.d`)
      copyFileSync(dropIn, join(`${copy}.d`, basename(dropIn)))
    }
    const { stdout, stderr, error } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], { encoding: 'utf8' })
    if (error !== undefined) throw error
    return `${stdout}${stderr}`.trim() || null
  } finally {
    rmSync(folder, { recursive: true })
  }
}
