/** The hub's configuration from its file and the environment. */
import { readFileSync } from 'node:fs'
import { TributaryError } from '@tributary/shared/errors'
import { type HubConfig, parseHubConfig } from './hub-config.ts'

/** Read when no file is named; it may be missing then. */
export const standardFile = 'hub.yaml'

/**
 * @param file as named on the command line or by TRIBUTARY_HUB_CONFIG; null for `hub.yaml` if there is one, else every default
 * @throws config when a named file cannot be read, ConfigError for its contents
 */
export function readConfig(file: string | null, env: NodeJS.ProcessEnv): HubConfig {
  const name = file ?? env.TRIBUTARY_HUB_CONFIG ?? null
  return parseHubConfig(textOf(name), name ?? standardFile, env)
}

function textOf(name: string | null): string {
  try {
    return readFileSync(name ?? standardFile, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (name === null && code === 'ENOENT') return ''
    throw new TributaryError('config', `the configuration file ${name ?? standardFile} cannot be read (${code})`, {
      cause,
      hint: 'Name another one with --config, or copy hub.example.yaml',
    })
  }
}
