/** The agent's configuration from its file and the environment. */
import { readFile } from 'node:fs/promises'
import { TributaryError } from '@tributary/shared/errors'
import { type AgentConfig, parseAgentConfig } from './agent-config.ts'

/** Read when no file is named; it may be missing then. */
export const standardFile = 'agent.yaml'

/**
 * @param file as named on the command line or by TRIBUTARY_CONFIG; null for `agent.yaml` if there is one, else every default
 * @throws config when a named file cannot be read, ConfigError for its contents
 */
export async function readConfig(file: string | null, env: NodeJS.ProcessEnv): Promise<AgentConfig> {
  const name = file ?? env.TRIBUTARY_CONFIG ?? null
  return parseAgentConfig(await textOf(name), name ?? standardFile, env)
}

async function textOf(name: string | null): Promise<string> {
  try {
    return await readFile(name ?? standardFile, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (name === null && code === 'ENOENT') return ''
    throw new TributaryError('config', `the configuration file ${name ?? standardFile} cannot be read (${code})`, {
      cause,
      hint: 'Name another one with --config, or copy agent.example.yaml.',
    })
  }
}
