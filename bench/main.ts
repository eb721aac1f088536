/**
 * `npm run bench -- NAME [--json] [--runs N]`: compares two things in one run.
 *
 * Ends with `{"bench", "ours": {median, min, max}, "other": {…, what} | null, "ratio", "unit", "runs", "calibration"}`; `ratio`
 * above 1 means that ours is better. A bench with several cases adds `variants` and gives the worst of them itself. Without a
 * name it lists the benches.
 */
import { type Command, type CommandContext, processIo, runProgram, UsageError } from '@tributary/shared/cli'
import type { Bench } from './bench.ts'
import { benches } from './benches.ts'
import { calibrate } from './calibration.ts'

function command(bench: Bench): Command {
  return {
    name: bench.name,
    summary: bench.summary,
    options: {
      ...bench.options,
      runs: { type: 'string', value: 'N', default: '5', help: 'runs of each side, at least 5' },
    },
    examples: [`npm run bench -- ${bench.name}`, `npm run bench -- ${bench.name} --runs 9 --json`],
    run: context => runBench(bench, context),
  }
}

async function runBench(bench: Bench, context: CommandContext): Promise<number> {
  const { runs: runsText, json: _json, ...values } = context.values
  const runs = Number(runsText)
  if (!Number.isInteger(runs) || runs < 5)
    throw new UsageError('unprocessable', `--runs ${runsText} is not a whole number of at least 5`)
  const calibration = calibrate()
  context.note(
    `${calibration.cpu}, ${calibration.cores} cores, ${calibration.node}; fsync p50 ${calibration.fsyncP50Ms} ms, loop ${calibration.loopMPerS} M/s`,
  )
  const result = await bench.run({
    values: values as Record<string, string | undefined>,
    runs,
    progress: text => context.note(text),
    signal: context.signal,
  })
  const report = { bench: bench.name, ...result, calibration }
  context.json(report)
  context.out(JSON.stringify(report, null, 2))
  return 0
}

process.exitCode = await runProgram(
  { name: 'npm run bench --', version: '', summary: 'compare two things in one run', commands: benches.map(command) },
  process.argv.length > 2 ? process.argv.slice(2) : ['help'],
  processIo(),
)
