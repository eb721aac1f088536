/**
 * Promises 1 and 3 on a failing medium: whatever happens to the files of the buffer or to the disk below them, the agent starts again
 * and takes readings without anybody's help, every readable row is kept, and what is gone stands in the loss ledger.
 *
 * Nothing is ever sent, so everything acknowledged has to be in the buffer or in the ledger: acknowledged − stored equals what the
 * ledger says exactly, or lies within what it says at most (`exact: false`). A cycle is a damage to the files of an ended or killed
 * agent (faults/damage.ts; a filled buffer serves several, each on a copy) or a fault of the disk under a running one
 * (faults/live-faults.ts), then a start, more readings, an end, and the count.
 */
import { cpSync, mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { createRandom, type Random } from '../../firmware-sim/src/signals/random.ts'
import { startAgent } from '../harness/stack.ts'
import { requirePrograms } from '../system/requirements.ts'
import { BulkLoad, bulkLane } from './bulk-load.ts'
import { DeliveryBook } from './delivery-book.ts'
import { enrollNowhere, readBuffer } from './fault-agent.ts'
import { type Account, account } from './faults/accounting.ts'
import { type DamageName, damages } from './faults/damage.ts'
import {
  type LiveFault,
  type LiveFaultName,
  liveFaults,
  mountSmall,
  unmount,
  withoutPrivileges,
} from './faults/live-faults.ts'
import { buildShim, shimEnvironment } from './power-cut/power-cut.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'
import { spreadMs } from './spread-ms.ts'

type FaultName = DamageName | LiveFaultName

/** Taken in turn; more than half hit pages or files that hold unsent readings. */
const schedule: readonly FaultName[] = [
  'flip-row-pages',
  'delete-log',
  'full-disk',
  'zero-row-pages',
  'damage-mark',
  'io-error-write',
  'cut-newest',
  'bad-sectors',
  'wrong-owner',
  'delete-newest',
  'flip-row-pages',
  'read-only',
  'append-garbage',
  'io-error-sync',
  'cut-closed',
  'io-error-read',
  'zero-row-pages',
  'flip-anywhere',
  'cut-log',
  'delete-mark',
  'delete-closed',
  'flip-row-pages',
  'zero-anywhere',
  'overwrite-row-pages',
]
/** Damages to copies of the same filled buffer. */
const copiesPerBuffer = 5
const maxRestartMs = 5000
const maxRecoveryMs = 5000
/** Small files, so that a buffer has some; a short patience, so that a cycle is short. */
const agentConfig = `buffer:
  max_bytes: 64MiB
  file_bytes: 64KiB
  min_free: 0
  ballast: 256KiB
  fail_after: 300ms
clock:
  # Batches are to be sealed though no hub ever gives the time.
  trust: [system, hub]
`

export const bufferFaults: Proof = {
  name: 'buffer-faults',
  summary:
    'damaged files, full, read-only and failing disks: the agent comes back alone, what is gone is in the ledger',
  options: {
    cycles: { type: 'string', value: 'N', default: '200', help: 'damages and faults' },
    'files-only': { type: 'boolean', help: 'only damage to files, which needs no root' },
  },
  quick: ['--cycles', '12'],
  sabotages: ['no-ledger'],
  run,
}

interface Cycle extends Account {
  readonly fault: FaultName
  readonly did: string
  readonly restartMs: readonly number[]
  readonly recoveredMs: readonly number[]
  /** What went wrong, else null. */
  readonly failure: string | null
}

async function run(context: ProofContext): Promise<ProofResult> {
  const { values, seed, progress, resume, signal, sabotage } = context
  const faults = values['files-only'] === undefined ? schedule : schedule.filter(name => name in damages)
  if (values['files-only'] === undefined) requireRoot()
  const cycles = (resume.load() ?? []) as Cycle[]
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tributary-buffer-faults-')))
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => rm(folder, { recursive: true, force: true }))
  const bench = new FaultBench(folder, sabotage)
  for (let index = cycles.length; index < Number(values.cycles); index++) {
    signal.throwIfAborted()
    const fault = faults[index % faults.length]!
    const cycle = await bench.cycle(index, fault, createRandom(String(seed), `cycle ${index}`))
    cycles.push(cycle)
    resume.save(cycles)
    const { did, gone, ledgerExact, ledgerAtMost, failure } = cycle
    progress(
      `${index + 1}/${values.cycles} ${fault} (${did}): ${gone} gone, ledger ${ledgerExact} exactly and at most ${ledgerAtMost}${failure === null ? '' : `; ${failure}`}`,
    )
  }
  return resultOf(cycles)
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new TributaryError(
      'forbidden',
      'buffer-faults mounts small file systems and changes owners, for which it has to be root',
      {
        hint: 'Run it as root, or with --files-only.',
      },
    )
  }
  requirePrograms('mount', 'umount', 'setpriv')
}

function resultOf(cycles: readonly Cycle[]): ProofResult {
  const sum = (what: 'acknowledged' | 'stored' | 'gone' | 'ledgerExact' | 'ledgerAtMost' | 'extra') =>
    cycles.reduce((total, cycle) => total + cycle[what], 0)
  const failures = cycles.filter(({ failure }) => failure !== null)
  const restarts = spreadMs(cycles.flatMap(({ restartMs }) => restartMs))
  const recoveries = spreadMs(cycles.flatMap(({ recoveredMs }) => recoveredMs))
  const inReadings = cycles.filter(({ fault }) => fault in damages && damages[fault as DamageName].inReadings).length
  return {
    ok: failures.length === 0,
    figures: {
      cycles: cycles.length,
      inReadings,
      withLosses: cycles.filter(({ gone }) => gone > 0).length,
      acknowledged: sum('acknowledged'),
      stored: sum('stored'),
      gone: sum('gone'),
      ledgerExact: sum('ledgerExact'),
      ledgerAtMost: sum('ledgerAtMost'),
      extra: sum('extra'),
      restartMs: restarts,
      recoveredMs: recoveries,
      failures: failures.slice(0, 10).map(({ fault, did, failure }) => `${fault} (${did}): ${failure}`),
    },
    targets: [
      target('cycles that do not balance or did not come back', failures.length, '=', 0),
      target('longest restart', restarts.max, '≤', maxRestartMs, 'ms'),
      target('longest recovery without a restart', recoveries.max, '≤', maxRecoveryMs, 'ms'),
    ],
  }
}

interface Filled {
  readonly folder: string
  readonly book: DeliveryBook
}

/** Runs the cycles, each in a folder of its own. */
class FaultBench {
  readonly #folder: string
  readonly #env: NodeJS.ProcessEnv
  readonly #sabotage: 'no-ledger' | null
  #filled: Filled | null = null
  #copies = 0
  #shim: string | null = null

  constructor(folder: string, sabotage: string | undefined) {
    this.#folder = folder
    this.#sabotage = sabotage === 'no-ledger' ? sabotage : null
    this.#env = sabotage === undefined ? {} : { TRIBUTARY_SABOTAGE: sabotage }
  }

  async cycle(index: number, fault: FaultName, random: Random): Promise<Cycle> {
    const folder = join(this.#folder, `cycle-${index}`)
    mkdirSync(folder)
    const found = { fault, did: '', restartMs: [] as number[], recoveredMs: [] as number[] }
    const nothing = { acknowledged: 0, stored: 0, gone: 0, ledgerExact: 0, ledgerAtMost: 0, extra: 0, balanced: false }
    try {
      const counted =
        fault in damages
          ? await this.#damaged(folder, fault as DamageName, random, found)
          : await this.#faulted(folder, liveFaults[fault as LiveFaultName], random, found)
      return { ...found, ...counted, failure: counted.balanced ? null : 'does not balance' }
    } catch (error) {
      return { ...found, ...nothing, failure: messageOf(error) }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  async #damaged(
    folder: string,
    name: DamageName,
    random: Random,
    found: { did: string; restartMs: number[] },
  ): Promise<Account> {
    const filled = await this.#fill(random)
    cpSync(join(filled.folder, 'agent'), join(folder, 'agent'), { recursive: true })
    found.did = damages[name].apply(join(folder, 'agent/buffer'), random)
    const startMs = performance.now()
    const agent = await startAgent({ folder, config: agentConfig, env: this.#env })
    found.restartMs.push(performance.now() - startMs)
    const book = new DeliveryBook([bulkLane])
    const load = new BulkLoad(agent.mqttPort, book)
    try {
      await load.send(20)
      await load.close()
    } finally {
      await agent.program.stop(random.chance(0.5) ? 'SIGKILL' : 'SIGTERM')
    }
    const { stored, losses } = await readBuffer(join(folder, 'agent'), this.#sabotage)
    return account([filled.book, book], stored, losses)
  }

  /** A buffer of some files, of an agent that was killed or stopped well; a new one when the last has served. */
  async #fill(random: Random): Promise<Filled> {
    if (this.#filled !== null && this.#copies++ < copiesPerBuffer) return this.#filled
    if (this.#filled !== null) await rm(this.#filled.folder, { recursive: true, force: true })
    const folder = mkdtempSync(join(this.#folder, 'filled-'))
    const book = new DeliveryBook([bulkLane])
    await enrollNowhere(join(folder, 'agent'))
    const agent = await startAgent({ folder, config: agentConfig })
    const load = new BulkLoad(agent.mqttPort, book)
    await load.send(random.integer(1500, 3000))
    await load.close()
    await agent.program.stop(random.chance(0.5) ? 'SIGKILL' : 'SIGTERM')
    this.#copies = 1
    this.#filled = { folder, book }
    return this.#filled
  }

  async #faulted(
    folder: string,
    fault: LiveFault,
    random: Random,
    found: { did: string; restartMs: number[]; recoveredMs: number[] },
  ): Promise<Account> {
    const dataDir = join(folder, 'agent')
    const faultFolder = join(folder, 'faults')
    mkdirSync(faultFolder)
    this.#shim ??= buildShim(this.#folder)
    await using stopping = new AsyncDisposableStack()
    if (fault.mountBytes !== undefined) {
      mountSmall(dataDir, fault.mountBytes)
      stopping.defer(() => unmount(dataDir))
    }
    await enrollNowhere(dataDir)
    const env = { ...this.#env, ...shimEnvironment(this.#shim, dataDir, join(folder, 'shim.log'), faultFolder) }
    const agent = await startAgent({ folder, config: agentConfig, env, wrapper: withoutPrivileges })
    stopping.defer(() => agent.program.stop())
    const book = new DeliveryBook([bulkLane])
    const load = new BulkLoad(agent.mqttPort, book)
    stopping.defer(() => load.close())
    let more = true
    const sending = load.sendWhile(() => more)
    sending.catch(() => undefined) // closed because the fault itself has failed, which says more
    await fault.run({
      agent,
      book,
      faultFolder,
      random,
      did: what => {
        found.did = what
      },
      recovered: ms => found.recoveredMs.push(ms),
      restarted: ms => found.restartMs.push(ms),
    })
    more = false
    await sending
    await agent.program.stop('SIGKILL')
    // To a disk with room: reading seals batches.
    cpSync(dataDir, join(folder, 'copy'), { recursive: true })
    const { stored, losses } = await readBuffer(join(folder, 'copy'), this.#sabotage)
    return account([book], stored, losses)
  }
}
