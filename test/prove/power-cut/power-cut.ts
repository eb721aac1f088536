/**
 * Power cuts for a program that keeps its data in one folder: start it with `env`, kill it, then `cut` turns the folder into one of
 * the states that the disk could have been in at the kill. Kills without a cut (`killed`) in between only age what is not synced.
 *
 * It refuses to judge what it does not see: after every death the log has to add up to the real folder but for one call, and
 * between two cuts it must have seen a write-ahead log being written.
 */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../../firmware-sim/src/signals/random.ts'
import { requirePrograms } from '../../system/requirements.ts'
import { DiskModel } from './disk-model.ts'
import { differences, readTree, writeTree } from './folder-tree.ts'
import { type DiskOp, readShimLog } from './shim-log.ts'

export interface CutFigures {
  /** Calls seen since the last cut. */
  readonly calls: number
  readonly walWrites: number
  readonly walSyncs: number
  /** Paths at which the disk differs from what the killed program saw. */
  readonly changedPaths: number
}

/** Compile shim.c into `folder`; its path. */
export function buildShim(folder: string): string {
  requirePrograms('cc')
  const library = join(folder, 'power-cut-shim.so')
  const source = join(import.meta.dirname, 'shim.c')
  execFileSync('cc', ['-shared', '-fPIC', '-O2', '-Wall', '-o', library, source], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return library
}

/** What a program is started with, to be seen by the shim. `faults`: see shim.c. */
export function shimEnvironment(library: string, root: string, log: string, faults?: string): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: library,
    UV_USE_IO_URING: '0',
    TRIBUTARY_SHIM_ROOT: root,
    TRIBUTARY_SHIM_LOG: log,
    ...(faults !== undefined && { TRIBUTARY_SHIM_FAULTS: faults }),
  }
}

export class PowerCut {
  readonly env: NodeJS.ProcessEnv
  readonly #root: string
  readonly #log: string
  #model: DiskModel
  #wals = new Set<number>()
  #calls = 0
  #walWrites = 0
  #walSyncs = 0

  /** `root` as it stands is on the disk. `workFolder` is for the shim and its log, outside of `root`. */
  constructor(root: string, workFolder: string) {
    this.#root = root
    this.#log = join(workFolder, 'power-cut.log')
    this.env = shimEnvironment(buildShim(workFolder), root, this.#log)
    this.#model = this.#begin()
  }

  /** The program has ended, and the power stayed on. */
  killed(): void {
    for (const op of readShimLog(this.#log)) {
      this.#count(op)
      this.#model.apply(op)
    }
    rmSync(this.#log)
    const unlogged = this.#model.catchUp(readTree(this.#root))
    if (unlogged.length > 1) throw this.#blind(unlogged.map(op => op.op).join(', '))
  }

  /** The program was killed because the power went. */
  cut(random: Random): CutFigures {
    this.killed()
    if (this.#walWrites === 0) throw this.#blind('no write to a write-ahead log')
    const before = this.#model.current()
    const after = this.#model.afterCut(random)
    const figures = {
      calls: this.#calls,
      walWrites: this.#walWrites,
      walSyncs: this.#walSyncs,
      changedPaths: differences(before, after).length,
    }
    writeTree(this.#root, after)
    this.#model = this.#begin()
    return figures
  }

  #begin(): DiskModel {
    const { tree, inodes } = readTree(this.#root)
    this.#wals = new Set([...inodes].filter(([path]) => path.endsWith('-wal')).map(([, inode]) => inode))
    this.#calls = this.#walWrites = this.#walSyncs = 0
    return new DiskModel(this.#root, tree, inodes)
  }

  #count(op: DiskOp): void {
    this.#calls++
    if (op.op === 'create') {
      if (op.path.endsWith('-wal')) this.#wals.add(op.inode)
      else this.#wals.delete(op.inode)
    }
    if (op.op === 'write' && this.#wals.has(op.inode)) this.#walWrites++
    if (op.op === 'sync' && this.#wals.has(op.inode)) this.#walSyncs++
  }

  #blind(what: string): Error {
    return new Error(`the power-cut shim does not see everything that happens in ${this.#root}: ${what}`)
  }
}
