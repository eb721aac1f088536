/**
 * What policies save: bytes sent, and bytes written to the disk, for each reading heard; a deadband and windows of a minute against
 * sending everything.
 *
 * 100 machines at 10 Hz, the buffer as shipped, a commit every 100 readings; each run is a process of its own with a fresh folder. The
 * held readings of `aggregate` are on the disk too. The first minutes of it send nothing yet, so it needs some of them.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Bench, type BenchContext, type BenchResult, compare, worstOf } from './bench.ts'

const sides = ['raw', 'deadband', 'aggregate'] as const
type Side = (typeof sides)[number]

interface Measured {
  readonly wire: number
  readonly flash: number
  readonly commitMs: number
}

export const policies: Bench = {
  name: 'policies',
  summary: 'bytes sent and written a reading heard at 10 Hz: a deadband, and windows of a minute, against raw',
  options: {
    rounds: { type: 'string', value: 'N', default: '6000', help: 'readings of each machine' },
    folder: { type: 'string', value: 'DIR', default: tmpdir(), help: 'where the files are written; on a block device' },
  },
  run,
}

async function run({ values, runs, progress, signal }: BenchContext): Promise<BenchResult> {
  const measured: Record<Side, Measured[]> = { raw: [], deadband: [], aggregate: [] }
  for (let i = 0; i < runs; i++) {
    for (const side of sides) {
      signal.throwIfAborted()
      const one = await measure(side, values)
      measured[side].push(one)
      const { wire, flash, commitMs } = one
      progress(
        `run ${i + 1}/${runs} ${side}: ${wire.toFixed(3)} B sent, ${flash.toFixed(1)} B written a reading, ${commitMs.toFixed(3)} ms a commit`,
      )
    }
  }
  const comparison = (side: Side, what: 'wire' | 'flash') =>
    compare({
      ours: measured[side].map(one => one[what]),
      other: measured.raw.map(one => one[what]),
      what: 'every reading sent',
      unit: `B/reading ${what === 'wire' ? 'sent' : 'written'}`,
      better: 'cost',
      figures: {
        commitMs: measured[side].map(one => Math.round(one.commitMs * 1000) / 1000),
        otherCommitMs: measured.raw.map(one => Math.round(one.commitMs * 1000) / 1000),
      },
    })
  return worstOf({
    'deadband, sent': comparison('deadband', 'wire'),
    'deadband, written': comparison('deadband', 'flash'),
    'aggregate, sent': comparison('aggregate', 'wire'),
    'aggregate, written': comparison('aggregate', 'flash'),
  })
}

async function measure(side: Side, values: BenchContext['values']): Promise<Measured> {
  const folder = mkdtempSync(join(values.folder!, 'tributary-policies-'))
  try {
    const args = [join(import.meta.dirname, 'servers/agent-policies.ts'), folder, side, values.rounds!]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    const { writtenBytes, wireBytes, commitMs, counters } = JSON.parse(stdout) as {
      writtenBytes: number
      wireBytes: number
      commitMs: number
      counters: { accepted: number }
    }
    const { accepted } = counters
    return { wire: wireBytes / accepted, flash: writtenBytes / accepted, commitMs: commitMs / Number(values.rounds) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
