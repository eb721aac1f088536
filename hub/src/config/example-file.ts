/** `node hub/src/config/example-file.ts` writes hub.example.yaml anew; a test checks that it is current. */
import { writeFileSync } from 'node:fs'
import { renderExample } from '@tributary/shared/config-render'
import { hubSchema } from './hub-config.ts'

const header = `Configuration of a Tributary hub. Every key is here with its default; delete what you do not change.
Sizes are written with their unit (KB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024), times too (ms, s, m, h, d). Check a file with: tributary-hub config check --config FILE`

export const exampleFile = new URL('../../hub.example.yaml', import.meta.url)

export function exampleText(): string {
  return renderExample(hubSchema, header)
}

if (import.meta.main) writeFileSync(exampleFile, exampleText())
