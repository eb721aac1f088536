/** Two figures of the machine itself, printed beside every bench so that absolute numbers can be placed. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { spread } from './bench.ts'

export interface Calibration {
  readonly cpu: string
  readonly cores: number
  readonly node: string
  /** Median of 200 × write 4 KiB + fdatasync, in the folder for temporary files. */
  readonly fsyncP50Ms: number
  /** Rounds a second of a fixed integer loop on one core, in millions. */
  readonly loopMPerS: number
}

export function calibrate(): Calibration {
  const [first] = cpus()
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    fsyncP50Ms: round(fsyncP50Ms()),
    loopMPerS: round(loopMPerS()),
  }
}

function fsyncP50Ms(): number {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-calibrate-'))
  const file = openSync(join(folder, 'f'), 'w')
  const block = Buffer.alloc(4096, 1)
  const times = Array.from({ length: 200 }, () => {
    const start = performance.now()
    writeSync(file, block, 0, block.length, 0)
    fdatasyncSync(file)
    return performance.now() - start
  })
  closeSync(file)
  rmSync(folder, { recursive: true })
  return spread(times).median
}

function loopMPerS(): number {
  const rounds = 20_000_000
  const rates = Array.from({ length: 5 }, () => {
    const start = performance.now()
    let state = 1
    for (let i = 0; i < rounds; i++) state = (Math.imul(state, 1664525) + 1013904223) | 0
    if (state === 0) throw new Error('unreachable: the loop is not to be optimised away')
    return rounds / 1000 / (performance.now() - start)
  })
  return spread(rates).median
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}
