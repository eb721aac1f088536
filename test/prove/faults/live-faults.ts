/**
 * What can happen to the disk under a running agent. Each fault takes an agent under load, lets the disk fail, mends it, and leaves
 * the agent running again; it throws when the fault had no effect or the agent does not come back alone.
 */
import { execFileSync } from 'node:child_process'
import { chownSync, linkSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../../firmware-sim/src/signals/random.ts'
import { agentStatus } from '../../harness/drain.ts'
import type { RunningAgent } from '../../harness/stack.ts'
import type { DeliveryBook } from '../delivery-book.ts'

export interface LiveFault {
  /** Put a file system of so many bytes below the data folder before the agent starts. */
  readonly mountBytes?: number
  readonly run: (stage: LiveStage) => Promise<void>
}

export interface LiveStage {
  readonly agent: RunningAgent
  readonly book: DeliveryBook
  /** See shim.c. */
  readonly faultFolder: string
  readonly random: Random
  /** What exactly was done. */
  readonly did: (what: string) => void
  /** From the moment when the disk was well again until the next acknowledgement. */
  readonly recovered: (ms: number) => void
  /** From the start of a process until it is ready. */
  readonly restarted: (ms: number) => void
}

const faultMs = 1200
const patienceMs = 15_000
const MiB = 1024 * 1024
const nobody = 65_534
const sectorBytes = 4096

export const liveFaults = {
  /** Full by its own backlog: the oldest goes into the ledger, the newest is taken; also after a kill on the full disk. */
  'full-disk': {
    mountBytes: 4 * MiB,
    async run(stage) {
      const { agent, recovered } = stage
      await until('the full disk makes the agent give up its oldest', async () => {
        const { counters, writable } = (await agentStatus(agent)).buffer
        return writable && counters.evicted > 0
      })
      await restart(stage, 'SIGKILL')
      recovered(await nextAcknowledgement(stage))
    },
  },
  'io-error-write': { run: stage => underFault(stage, 'write', 'EIO') },
  'io-error-sync': { run: stage => underFault(stage, 'sync', 'EIO') },
  /** Sectors of the newest file cannot be read any more when the agent starts on it. */
  'bad-sectors': {
    async run(stage) {
      await sleep(faultMs)
      await stage.agent.program.stop('SIGKILL')
      markSectorsBad(stage)
      await restart(stage, 'SIGKILL')
      stage.recovered(await nextAcknowledgement(stage))
    },
  },
  /** Nothing can be read for a while, also at a start. */
  'io-error-read': {
    async run(stage) {
      const link = join(stage.faultFolder, 'read')
      symlinkSync('EIO', link)
      await sleep(faultMs)
      await refusedStart(
        stage,
        () => undefined,
        () => rmSync(link),
      )
    },
  },
  /** Turned read-only under the agent, as a file system with errors is; then read-only at a start. */
  'read-only': {
    mountBytes: 64 * MiB,
    async run(stage) {
      await underFault(stage, 'write', 'EROFS')
      await refusedStart(
        stage,
        () => remount(stage.agent.dataDir, 'ro'),
        () => remount(stage.agent.dataDir, 'rw'),
      )
    },
  },
  /** A data folder of another user, and an agent that is nothing more than its own. */
  'wrong-owner': {
    run: stage =>
      refusedStart(
        stage,
        () => giveTo(stage.agent.dataDir, nobody),
        () => giveTo(stage.agent.dataDir, 0),
      ),
  },
} as const satisfies Record<string, LiveFault>

export type LiveFaultName = keyof typeof liveFaults

/** Root without the rights that let it pass by owners and modes. */
export const withoutPrivileges = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--']

export function mountSmall(folder: string, bytes: number): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', folder])
}

export function unmount(folder: string): void {
  execFileSync('umount', [folder])
}

function remount(folder: string, mode: 'ro' | 'rw'): void {
  execFileSync('mount', ['-o', `remount,${mode}`, folder])
}

function giveTo(folder: string, owner: number): void {
  for (const name of readdirSync(folder, { recursive: true })) chownSync(join(folder, String(name)), owner, owner)
  chownSync(folder, owner, owner)
}

function markSectorsBad({ agent, faultFolder, random, did }: LiveStage): void {
  const folder = join(agent.dataDir, 'buffer')
  const files = readdirSync(folder)
    .filter(name => /^\d+\.db(-wal)?$/.test(name))
    .sort()
  const name = files.at(-random.integer(1, 2))!
  const { ino, size } = statSync(join(folder, name))
  const from = sectorBytes * random.integer(0, Math.floor((size - 1) / sectorBytes))
  const to = from + sectorBytes * random.integer(1, 4)
  linkSync(join(folder, name), join(faultFolder, 'kept')) // or a new file could get its inode, and its bad sectors
  symlinkSync(`EIO#${ino}@${from}-${to}`, join(faultFolder, 'read'))
  did(`${name}+${from} to ${to} of ${size}`)
}

/** Calls of a kind fail for a while; the agent must say that it cannot commit, and take readings again by itself afterwards. */
async function underFault(stage: LiveStage, kind: 'write' | 'sync', error: 'EIO' | 'EROFS'): Promise<void> {
  const link = join(stage.faultFolder, kind)
  symlinkSync(error, link)
  await until(
    `the agent refuses publishers under ${error}`,
    async () => !(await agentStatus(stage.agent)).buffer.writable,
  )
  await sleep(faultMs)
  rmSync(link)
  stage.recovered(await nextAcknowledgement(stage))
}

/** The agent cannot start while something is wrong, says so in one line, and starts when it is put right. */
async function refusedStart(stage: LiveStage, breakIt: () => void, mendIt: () => void): Promise<void> {
  const { program } = stage.agent
  await program.stop('SIGKILL')
  breakIt()
  const refusal = await program.start().then(
    () => null,
    (error: Error) => error.message,
  )
  await program.stop()
  mendIt()
  if (refusal === null) throw new Error(`the agent started on a folder that it cannot write: ${stage.agent.dataDir}`)
  if (!refusal.includes(stage.agent.dataDir))
    throw new Error(`the agent's refusal does not name the folder: ${refusal}`)
  await restart(stage, 'SIGKILL')
  stage.recovered(await nextAcknowledgement(stage))
}

async function restart({ agent, restarted }: LiveStage, signal: NodeJS.Signals): Promise<void> {
  await agent.program.stop(signal)
  const startMs = performance.now()
  await agent.program.start()
  restarted(performance.now() - startMs)
}

async function nextAcknowledgement({ book }: LiveStage): Promise<number> {
  const startMs = performance.now()
  const heard = new Promise<true>(resolve => book.onceAcknowledged(() => resolve(true)))
  if ((await Promise.race([heard, sleep(patienceMs, false, { ref: false })])) === false)
    throw new Error(`no acknowledgement within ${patienceMs / 1000} s after the disk was well again`)
  return performance.now() - startMs
}

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (const endMs = Date.now() + patienceMs; !(await done()); await sleep(50)) {
    if (Date.now() > endMs) throw new Error(`waited ${patienceMs / 1000} s in vain until ${what}`)
  }
}
