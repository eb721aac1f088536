/** `node agent/src/config/example-file.ts` writes agent.example.yaml anew; a test checks that it is current. */
import { writeFileSync } from 'node:fs'
import { renderExample } from '@tributary/shared/config-render'
import { agentSchema } from './agent-config.ts'

const header = `Configuration of a Tributary agent. Every key is here with its default; delete what you do not change.
Sizes are written with their unit (KB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024), times too (ms, s, m, h, d). Check a file with: tributary-agent config check --config FILE`

export const exampleFile = new URL('../../agent.example.yaml', import.meta.url)

export function exampleText(): string {
  return renderExample(agentSchema, header)
}

if (import.meta.main) writeFileSync(exampleFile, exampleText())
