/**
 * Wear of the flash: bytes written to the block device for each reading, the agent's buffer against a SQLite row a reading.
 *
 * Both commit the same readings in the same groups and fsync each; both count from an open, empty store to a closed one. `receipts`:
 * both also keep what tells a redelivery. `alone`: only the agent does, which is the harder case. Each run is a process of its own
 * with a fresh folder, and counts its own writes (load/written-bytes.ts).
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { TributaryError } from '@tributary/shared/errors'
import { type Bench, type BenchContext, type BenchResult, compare, worstOf } from './bench.ts'

const sides = {
  ours: ['servers/agent-wear.ts'],
  receipts: ['other/row-per-reading-wear.ts', 'receipts'],
  alone: ['other/row-per-reading-wear.ts', 'none'],
} as const
type Side = keyof typeof sides

export const wear: Bench = {
  name: 'wear',
  summary: 'bytes written to the disk a reading, against a SQLite row a reading with its defaults',
  options: {
    readings: { type: 'string', value: 'N', default: '100', help: 'readings a commit' },
    commits: { type: 'string', value: 'N', default: '2000', help: 'commits of each run' },
    folder: { type: 'string', value: 'DIR', default: tmpdir(), help: 'where the files are written; on a block device' },
  },
  run,
}

async function run({ values, runs, progress, signal }: BenchContext): Promise<BenchResult> {
  const bytes: Record<Side, number[]> = { ours: [], receipts: [], alone: [] }
  for (let i = 0; i < runs; i++) {
    for (const side of Object.keys(sides) as Side[]) {
      signal.throwIfAborted()
      bytes[side].push(await measure(side, values))
    }
    const [ours, receipts, alone] = [bytes.ours, bytes.receipts, bytes.alone].map(of => of.at(-1)!.toFixed(1))
    progress(`run ${i + 1}/${runs}: ours ${ours}, other ${receipts} with receipts, ${alone} without, bytes a reading`)
  }
  const comparison = (side: 'receipts' | 'alone', what: string) =>
    compare({ ours: bytes.ours, other: bytes[side], what, unit: 'B/reading', better: 'cost' })
  const defaults = `a SQLite row a reading, SQLite's page size and checkpoints, WAL, FULL, ${values.readings} readings a commit`
  return worstOf({
    receipts: comparison('receipts', `${defaults}; receipts of redeliveries too`),
    alone: comparison('alone', `${defaults}; no receipts`),
  })
}

async function measure(side: Side, values: BenchContext['values']): Promise<number> {
  const folder = mkdtempSync(join(values.folder!, 'tributary-wear-'))
  const [script, ...mode] = sides[side]
  try {
    const args = [join(import.meta.dirname, script), folder, values.commits!, values.readings!, ...mode]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    const { writtenBytes } = JSON.parse(stdout) as { writtenBytes: number }
    if (!(writtenBytes > 0))
      throw new TributaryError(
        'not-supported',
        `the kernel counts no writes to ${folder}: it is not on a block device`,
        {
          hint: 'Name a folder on one with --folder.',
        },
      )
    return writtenBytes / (Number(values.commits) * Number(values.readings))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
