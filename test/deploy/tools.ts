/**
 * The linters of deploy/, each in an exact version, in a folder of this clone: `npm run lint:deploy:install` puts them there.
 * systemd-analyze alone is the machine's own: it comes with Debian's package systemd.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { requirePrograms } from '../system/requirements.ts'

export const repository = join(import.meta.dirname, '../..')
const folder = join(repository, '.tributary/deploy-tools')

export const tools = {
  hadolint: join(folder, 'bin/hadolint'),
  shellcheck: join(folder, 'bin/shellcheck'),
  composeLint: join(folder, 'bin/compose-lint'),
  /** Built from the folder compose-spec, which has its own description. */
  composeSpec: join(folder, 'bin/compose-spec'),
} as const

/** compose-lint finds its Python modules here. */
export const toolEnvironment = { ...process.env, PYTHONPATH: folder }

/** Throws with the line that installs what is missing. */
export function requireTools(): void {
  requirePrograms('python3', 'systemd-analyze')
  const missing = Object.values(tools).filter(tool => !existsSync(tool))
  if (missing.length === 0) return
  throw new Error(`missing ${missing.join(', ')}; install with: npm run lint:deploy:install`)
}

function install(): void {
  requirePrograms('python3')
  if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0)
    throw new Error('missing pip of python3; install with: apt-get install -y python3-pip')
  const run = (command: string, args: readonly string[]) => execFileSync(command, args, { stdio: 'inherit' })
  const requirements = join(import.meta.dirname, 'requirements.txt')
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:', '--upgrade']
  run('python3', [...pip, '--target', folder, '--requirement', requirements])
  const source = join(import.meta.dirname, 'compose-spec')
  run(join(folder, 'go/bin/go'), ['build', '-C', source, '-buildvcs=false', '-o', tools.composeSpec, '.'])
}

if (import.meta.main) {
  try {
    install()
  } catch (error) {
    console.error((error as Error).message)
    process.exitCode = 1
  }
}
