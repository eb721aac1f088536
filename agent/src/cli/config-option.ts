/** `--config FILE`, which every command takes that has to do with one agent. */
import type { CommandContext, CommandOption } from '@tributary/shared/cli'
import type { AgentConfig } from '../config/agent-config.ts'
import { readConfig } from '../config/read-config.ts'

export const configOption = {
  config: {
    type: 'string',
    short: 'c',
    value: 'FILE',
    help: 'configuration file (default TRIBUTARY_CONFIG, else agent.yaml if there is one)',
  },
} as const satisfies Record<string, CommandOption>

export function readConfigOption({ values, env }: CommandContext): Promise<AgentConfig> {
  return readConfig(textValue(values, 'config'), env)
}

/** The value of an option that takes text, or null. */
export function textValue(values: CommandContext['values'], name: string): string | null {
  const value = values[name]
  return typeof value === 'string' ? value : null
}
