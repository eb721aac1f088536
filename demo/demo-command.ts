/** The command line of the demo: options in, exit code out. */
import { join } from 'node:path'
import { type Command, type CommandContext, UsageError } from '@tributary/shared/cli'
import { durationOption, textOption } from '../firmware-sim/src/cli/option-values.ts'
import { repository } from '../test/harness/program.ts'
import { runDemo } from './demo.ts'
import { type DemoResult, describeResult, failures } from './result.ts'
import { clearStateFolders, openStateFolder } from './state-folder.ts'
import { StatusLine } from './status-line.ts'

const shortestMs = 10_000
/** What was sent and acknowledged is remembered one by one until the end, about 150 MB an hour. */
const longestMs = 3 * 3_600_000
const defaultMs = 3_600_000

/** `atOnce`: not even what is under way is waited for. */
export function createDemoCommand(atOnce: AbortSignal): Command {
  return {
    name: 'demo',
    summary:
      "a machine's temperature from a device over MQTT, a killed agent and a cut network to a marked curve on a page",
    options: {
      for: {
        type: 'string',
        value: 'TIME',
        help: 'end by itself this long after the first publish: 40s, 5m (10s to 3h; 1h without it)',
      },
      clean: {
        type: 'boolean',
        help: 'remove the state folder at the end; without --for: remove old ones and do nothing else',
      },
      state: { type: 'string', value: 'DIR', help: 'where the state folder is made; default .tributary in the clone' },
    },
    examples: ['npm run demo', 'npm run demo -- --for 40s --json', 'npm run demo -- --clean'],
    run: context => run(context, atOnce),
  }
}

async function run(context: CommandContext, atOnce: AbortSignal): Promise<number> {
  const { values } = context
  const forMs = durationOption(values, 'for')
  if (forMs !== undefined && !(forMs >= shortestMs && forMs <= longestMs))
    throw new UsageError('unprocessable', `--for cannot be "${values.for}"`, { hint: 'It is 10s to 3h.' })
  const parent = textOption(values, 'state') ?? join(repository, '.tributary')
  const status = new StatusLine(process.stderr, context.wantsJson ? context.note : context.out)
  await clearStateFolders(parent, status.note)
  if (values.clean === true && forMs === undefined) return 0
  const lengthMs = forMs ?? defaultMs
  const state = await openStateFolder(parent, lengthMs)
  let result: DemoResult | null = null
  try {
    result = await runDemo({
      folder: state.path,
      forMs: lengthMs,
      status,
      showKey: !context.wantsJson,
      signal: context.signal,
      atOnce,
    })
  } finally {
    status.end()
    if (values.clean === true) await state.remove()
  }
  return report(context, result, values.clean === true ? null : state.path)
}

function report({ json, out, note, signal }: CommandContext, result: DemoResult, kept: string | null): number {
  const problems = failures(result, !signal.aborted)
  json(result)
  for (const line of describeResult(result)) out(line)
  if (kept !== null) out(`Data and logs are in ${kept} until the next run.`)
  for (const problem of problems) note(`FAILED: ${problem}`)
  return problems.length === 0 ? 0 : 1
}
