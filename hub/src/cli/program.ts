/** The table of the hub's commands. */
import type { Program } from '@tributary/shared/cli'
import packageJson from '../../package.json' with { type: 'json' }
import { agentsCommands } from './agents-commands.ts'
import { gaps } from './gaps-command.ts'
import { configCheck, openapi } from './other-commands.ts'
import { serve } from './serve.ts'
import { tokenCommands } from './token-commands.ts'

export const program: Program = {
  name: 'tributary-hub',
  version: packageJson.version,
  summary: 'takes signed batches from agents, stores every reading once, detects anomalies',
  commands: [serve, ...tokenCommands, ...agentsCommands, gaps, openapi, configCheck],
}
