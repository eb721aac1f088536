/** `npm run eval -- nab DIR`: the shipped detector on the Numenta Anomaly Benchmark, file by file as the hub would meet it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Command, type CommandContext, UsageError } from '@tributary/shared/cli'
import { alertRule } from '@tributary/shared/detect/alert'
import type { DetectorSpec } from '@tributary/shared/detect/detector-spec'
import { feed } from '@tributary/shared/detect/feed'
import { lite } from '@tributary/shared/detect/lite'
import { allocate, createShard } from '@tributary/shared/detect/shard'
import { type NabFile, readNab } from './nab-corpus.ts'
import { type Outcome, profiles, type ScoredFile, scoreAt, scoreAtBest } from './nab-score.ts'

const detectors: Readonly<Record<string, DetectorSpec>> = { lite }

export const nabCommand: Command = {
  name: 'nab',
  summary: 'the Numenta Anomaly Benchmark: its three profiles, at the best and at the shipped threshold',
  positionals: 'DIR',
  options: {
    detector: { type: 'string', value: 'NAME', default: 'lite', help: `one of: ${Object.keys(detectors).join(', ')}` },
    scores: { type: 'string', value: 'DIR', help: "write a CSV a file, for NAB's own scorer" },
  },
  examples: ['npm run eval -- nab ~/NAB', 'npm run eval -- nab ~/NAB --scores out --json'],
  run,
}

async function run({ values, positionals, out, json }: CommandContext): Promise<number> {
  const detector = detectors[String(values.detector)]
  if (detector === undefined)
    throw new UsageError('unprocessable', `no detector "${values.detector}"`, {
      hint: `One of: ${Object.keys(detectors).join(', ')}.`,
    })
  const [folder, ...more] = positionals
  if (folder === undefined || more.length > 0)
    throw new UsageError('unprocessable', 'eval nab takes one folder', { hint: 'npm run eval -- nab DIR' })
  const files = await readNab(folder)
  const scored = files.map((file): ScoredFile => ({ scores: score(detector, file), windows: file.windows }))
  if (typeof values.scores === 'string') writeScores(values.scores, detector, files, scored)
  const report = reportOf(detector, files, scored)
  json(report)
  for (const line of describe(report)) out(line)
  return 0
}

/** What the hub's alerts go by: the surprise of a reading where the cool-down lets it through, as 1 − 10^(−S). */
function score(detector: DetectorSpec, { tsUs, values }: NabFile): Float64Array {
  const shard = createShard(detector, 1)
  const slot = allocate(shard)
  return values.map((value, i) => 1 - 10 ** -feed(shard, slot, tsUs[i]!, value).alert)
}

type Report = ReturnType<typeof reportOf>

function reportOf(detector: DetectorSpec, files: readonly NabFile[], scored: readonly ScoredFile[]) {
  const shipped = 1 - 10 ** -alertRule.open
  const best = scoreAtBest(scored, profiles.standard)
  const at = (profile: keyof typeof profiles) => rounded(scoreAt(scored, profiles[profile], shipped))
  return {
    eval: 'nab',
    detector: detector.name,
    standard: round(best.score),
    lowFP: round(scoreAtBest(scored, profiles.lowFP).score),
    lowFN: round(scoreAtBest(scored, profiles.lowFN).score),
    atShippedThreshold: {
      surprise: alertRule.open,
      standard: at('standard').score,
      lowFP: at('lowFP').score,
      lowFN: at('lowFN').score,
      windowsFound: at('standard').windowsFound,
      falseAlarms: at('standard').falseAlarms,
    },
    windowsFound: best.windowsFound,
    windows: files.reduce((sum, { windows }) => sum + windows.length, 0),
    falseAlarms: best.falseAlarms,
    files: files.length,
    readings: files.reduce((sum, { values }) => sum + values.length, 0),
  }
}

function rounded(outcome: Outcome): Outcome {
  return { ...outcome, score: round(outcome.score) }
}

function round(score: number): number {
  return Math.round(score * 100) / 100
}

function describe(report: Report): string[] {
  const { atShippedThreshold: shipped, windows } = report
  const row = (name: string, of: Pick<Report, 'standard' | 'lowFP' | 'lowFN' | 'windowsFound' | 'falseAlarms'>) =>
    `${name.padEnd(22)} ${[of.standard, of.lowFP, of.lowFN].map(n => n.toFixed(2).padStart(8)).join('')}   ${of.windowsFound} of ${windows} windows, ${of.falseAlarms} false alarms`
  return [
    `${report.detector} on ${report.files} files of NAB, ${report.readings} readings`,
    `${''.padEnd(22)} ${['standard', 'low FP', 'low FN'].map(name => name.padStart(8)).join('')}`,
    row(`shipped (S ≥ ${shipped.surprise})`, shipped),
    row('best threshold', report),
  ]
}

/** `results/<detector>/<category>/<detector>_<name>.csv`, every row, its time as written: what NAB's scorer reads. */
function writeScores(
  folder: string,
  { name: detector }: DetectorSpec,
  files: readonly NabFile[],
  scored: readonly ScoredFile[],
) {
  for (const [i, file] of files.entries()) {
    const [category, name] = file.name.split('/')
    const path = join(folder, detector, category!, `${detector}_${name}`)
    mkdirSync(dirname(path), { recursive: true })
    const rows = file.timestamps.map((timestamp, row) => {
      const label = file.windows.some(([first, last]) => row >= first && row <= last) ? 1 : 0
      return `${timestamp},${file.values[row]},${scored[i]!.scores[row]},${label}`
    })
    writeFileSync(path, `timestamp,value,anomaly_score,label\n${rows.join('\n')}\n`)
  }
}
