/** `npm run eval -- CORPUS DIR [--json]`: how good the detector is on a public benchmark, at the constants it is shipped with. */
import { processIo, runProgram } from '@tributary/shared/cli'
import { nabCommand } from './nab.ts'

process.exitCode = await runProgram(
  {
    name: 'npm run eval --',
    version: '',
    summary: 'the quality of detection on a public benchmark',
    commands: [nabCommand],
  },
  process.argv.length > 2 ? process.argv.slice(2) : ['help'],
  processIo(),
)
