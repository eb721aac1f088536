/**
 * `npm run prove -- NAME [--json] [--seed N] [--sabotage KIND] [--resume]`: tries to break a promise.
 *
 * Ends with `{"proof", "seed", "sabotage", "ok", "figures", "targets"}`. Exit code 0 only if the promise held; with a sabotage
 * the promise must not hold, so 0 then means that the proof caught it (`caught` true). Without a name it lists the proofs.
 */
import { createHash, randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, type CommandContext, processIo, runProgram, UsageError } from '@tributary/shared/cli'
import type { Proof, ProofContext } from './proof.ts'
import { proofs } from './proofs.ts'

const stateFolder = join(import.meta.dirname, '../../.prove')

function command(proof: Proof): Command {
  const kinds = proof.sabotages.join(' | ')
  return {
    name: proof.name,
    summary: proof.summary,
    options: {
      ...proof.options,
      seed: {
        type: 'string',
        value: 'N',
        help: 'replay the schedule of an earlier run (random by default, always printed)',
      },
      ...(kinds && {
        sabotage: { type: 'string', value: 'KIND', help: `break the product on purpose, one of: ${kinds}` } as const,
      }),
      resume: { type: 'boolean', help: 'go on where a run with the same options and seed was cut off' },
    },
    examples: [
      `npm run prove -- ${proof.name} --json`,
      ...proof.sabotages.map(kind => `npm run prove -- ${proof.name} --sabotage ${kind}`),
    ],
    run: context => runProof(proof, context),
  }
}

async function runProof(proof: Proof, context: CommandContext): Promise<number> {
  const { seed: seedText, sabotage, resume, json: _json, ...rest } = context.values
  const seed = seedText === undefined ? randomInt(2 ** 32) : Number(seedText)
  if (!Number.isSafeInteger(seed)) throw new UsageError('unprocessable', `--seed ${seedText} is not a whole number`)
  if (sabotage !== undefined && !proof.sabotages.includes(String(sabotage))) {
    throw new UsageError('unprocessable', `${proof.name} has no sabotage "${sabotage}"`, {
      hint: proof.sabotages.length > 0 ? `One of: ${proof.sabotages.join(', ')}` : 'This proof has none.',
    })
  }
  context.note(`${proof.name}: seed ${seed}${sabotage ? `, sabotage ${sabotage}` : ''}`)
  const values = rest as Record<string, string | undefined>
  const result = await proof.run({
    values,
    sabotage: sabotage as string | undefined,
    seed,
    progress: text => context.note(`${new Date().toISOString().slice(11, 19)} ${text}`),
    resume: resumable(`${proof.name}-${JSON.stringify([values, sabotage, seed])}`, resume === true),
    signal: context.signal,
  })
  const report = { proof: proof.name, seed, ...(sabotage ? { sabotage, caught: !result.ok } : {}), ...result }
  context.json(report)
  context.out(JSON.stringify(report, null, 2))
  return (sabotage ? !result.ok : result.ok) ? 0 : 1
}

function resumable(key: string, wanted: boolean): ProofContext['resume'] {
  const file = join(stateFolder, `${createHash('sha256').update(key).digest('hex').slice(0, 16)}.json`)
  return {
    load() {
      if (!wanted) return null
      try {
        return JSON.parse(readFileSync(file, 'utf8'))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw error
      }
    },
    save(state) {
      mkdirSync(stateFolder, { recursive: true })
      writeFileSync(`${file}.new`, JSON.stringify(state))
      renameSync(`${file}.new`, file)
    },
  }
}

process.exitCode = await runProgram(
  { name: 'npm run prove --', version: '', summary: 'try to break a promise', commands: proofs.map(command) },
  process.argv.length > 2 ? process.argv.slice(2) : ['help'],
  processIo(),
)
