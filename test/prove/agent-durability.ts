/**
 * Promise 1 at the agent: what it acknowledged survives SIGKILL and power cuts, and reaches the hub exactly once.
 *
 * A real agent with MQTT devices at QoS 1 and 2 and an acknowledged serial line, all of which send again until they are
 * acknowledged, and a real hub behind a link that is cut for about half of the lives: so an end finds batches unsealed, sealed,
 * under way, acknowledged, and evicted as copies. Files of the buffer are small, so that new ones begin often. The agent runs under
 * a shim that logs its calls on files (power-cut/); a power cut is a SIGKILL, after which the folder is made what a disk could
 * have held. At the end of a round of cycles the multiset of what was acknowledged is compared with the hub's view `reading`.
 */
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandom } from '../../firmware-sim/src/signals/random.ts'
import { agentStatus, drain } from '../harness/drain.ts'
import { HubProxy } from '../harness/hub-proxy.ts'
import { difference, storedReadings } from '../harness/multiset.ts'
import { enrollAgent, hubPool, startAgent, startHub } from '../harness/stack.ts'
import { agentCycles, type CycleFigures, type Ending, endings } from './agent-cycles.ts'
import { DeliveryBook } from './delivery-book.ts'
import { DeviceLoad } from './device-load.ts'
import { PowerCut } from './power-cut/power-cut.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'
import { inRounds, sum, total } from './rounds.ts'
import { SerialLoad } from './serial-load.ts'
import { spreadMs } from './spread-ms.ts'

const drainTimeoutMs = 60_000
const maxRestartMs = 2000
const serialName = 'line0'

/** The agent's own words, with the ends that show them. */
const sabotages: Readonly<Record<string, readonly Ending[]>> = {
  'fsync-off': ['cut/commit', 'cut/random'],
  'ack-before-commit': ['kill/commit', 'kill/random'],
  'no-dup-check': ['kill/commit', 'kill/random'],
}

export const agentDurability: Proof = {
  name: 'agent-durability',
  summary:
    'SIGKILL and power cuts of the agent under load over MQTT and serial: nothing acknowledged is lost or doubled',
  options: {
    cycles: { type: 'string', value: 'N', default: '20', help: 'kills and power cuts' },
    folder: {
      type: 'string',
      value: 'DIR',
      help: 'keep data and logs there (temporary folders by default, removed when all is well)',
    },
  },
  quick: ['--cycles', '10'],
  sabotages: Object.keys(sabotages),
  run,
}

interface Round extends CycleFigures {
  readonly cycles: number
  readonly sent: number
  readonly acknowledged: Readonly<Record<string, number>>
  readonly stored: number
  readonly lost: number
  readonly duplicated: number
  /** Readings in the agent's loss ledger at the end. */
  readonly ledger: number
  readonly drained: boolean
  readonly examples: readonly string[]
}

async function run(context: ProofContext): Promise<ProofResult> {
  const rounds = await inRounds<Round>(context, (index, count) => runRound(context, index, count))
  const [lost, duplicated, ledger] = [sum(rounds, 'lost'), sum(rounds, 'duplicated'), sum(rounds, 'ledger')]
  const drained = rounds.every(round => round.drained)
  const restarts = spreadMs(rounds.flatMap(({ restartMs }) => restartMs))
  return {
    ok: lost === 0 && duplicated === 0 && ledger === 0 && drained,
    figures: {
      cycles: sum(rounds, 'cycles'),
      endings: total(rounds.map(round => round.endings)),
      sent: sum(rounds, 'sent'),
      acknowledged: total(rounds.map(round => round.acknowledged)),
      stored: sum(rounds, 'stored'),
      lost,
      duplicated,
      ledger,
      drained,
      restartMs: restarts,
      shim: {
        calls: sum(rounds, 'callsSeen'),
        walWrites: sum(rounds, 'walWritesSeen'),
        walSyncs: sum(rounds, 'walSyncsSeen'),
        pathsChangedByCuts: sum(rounds, 'pathsChanged'),
      },
      examples: rounds.flatMap(({ examples }) => examples).slice(0, 10),
    },
    targets: [
      target('acknowledged and lost', lost, '=', 0),
      target('stored twice', duplicated, '=', 0),
      target('readings in the loss ledger', ledger, '=', 0),
      target('longest restart', restarts.max, '≤', maxRestartMs, 'ms'),
    ],
  }
}

async function runRound(context: ProofContext, index: number, cycles: number): Promise<Round> {
  const { values, seed, sabotage, progress, signal } = context
  const folder = realpathSync(
    values.folder
      ? made(join(values.folder, `round-${index}`))
      : mkdtempSync(join(tmpdir(), 'tributary-agent-durability-')),
  )
  let keep = true
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => (keep ? progress(`data and logs: ${folder}`) : rm(folder, { recursive: true, force: true })))
  progress(`round ${index + 1}: starting hub and agent in ${folder}`)
  const hub = await startHub({ folder })
  stopping.defer(() => hub.program.stop())
  const proxy = new HubProxy(hub.port)
  stopping.defer(() => proxy.close())
  const hubUrl = `http://127.0.0.1:${await proxy.listen()}`
  await enrollAgent({ folder, hub, hubUrl })
  const book = new DeliveryBook([...DeviceLoad.lanes, serialName])
  const serial = await SerialLoad.open({ book, name: serialName })
  stopping.defer(() => serial.pull())
  const power = new PowerCut(join(folder, 'agent'), folder)
  const agent = await startAgent({
    folder,
    hubUrl,
    config: agentConfig(serial.path),
    env: { ...power.env, ...(sabotage && { TRIBUTARY_SABOTAGE: sabotage }) },
  })
  stopping.defer(() => agent.program.stop())
  const devices = new DeviceLoad(agent.mqttPort, book)
  stopping.defer(() => devices.abandon())

  const schedule = sabotages[sabotage ?? ''] ?? endings
  const random = createRandom(String(seed), `round ${index}`)
  const figures = await agentCycles({ cycles, agent, proxy, book, power, schedule, random, progress, signal })
  progress('draining')
  await Promise.all([devices.stop(), serial.stop()])
  const drained = (await drain(agent, hub, drainTimeoutMs)) && book.outstanding === 0
  const { counters } = (await agentStatus(agent)).buffer
  await agent.program.stop()
  power.killed()
  const pool = hubPool(hub.dataDir)
  const stored = await storedReadings(pool)
  await pool.end()
  const found = difference(book.sent, book.acknowledged, stored)
  const well = found.lost === 0 && found.duplicated === 0 && counters.evicted === 0 && drained
  keep = values.folder !== undefined || (!well && sabotage === undefined)
  return {
    cycles,
    ...figures,
    sent: book.sent.size,
    acknowledged: book.byLane,
    stored: stored.size,
    ledger: counters.evicted,
    ...found,
    drained,
  }
}

function made(folder: string): string {
  mkdirSync(folder, { recursive: true })
  return folder
}

/**
 * Small files and copies that do not last, so that files begin, are closed and unlinked in every life. Smaller files would keep fewer
 * receipts for each sender than the 64 lines that a serial sender may be ahead.
 */
function agentConfig(serialPath: string): string {
  return `buffer:
  max_bytes: 64MiB
  file_bytes: 128KiB
  copy_max_age: 3s
serial:
  - { name: ${serialName}, path: ${serialPath}, framing: acknowledged }
`
}
