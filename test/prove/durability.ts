/**
 * Promises 1 and 2 under SIGKILL: what was acknowledged is stored, and nothing is stored twice.
 *
 * A real hub with its Postgres, a real agent, devices over MQTT at QoS 1 and 2 that resend with DUP after every cut, and kills at
 * moments drawn from the seed (kill-cycles.ts). Cycles run in rounds of 50 with folders of their own. At the end of a round everything
 * drains, and the multisets of (series, time, value bits) that devices saw acknowledged are compared with all rows of the hub's view
 * `reading`. Finished rounds are kept: `--resume` with the same seed goes on after them.
 */
import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandom } from '../../firmware-sim/src/signals/random.ts'
import { drain } from '../harness/drain.ts'
import { HubProxy } from '../harness/hub-proxy.ts'
import { difference, storedReadings } from '../harness/multiset.ts'
import { enrollAgent, hubPool, startAgent, startHub } from '../harness/stack.ts'
import { DeliveryBook } from './delivery-book.ts'
import { DeviceLoad } from './device-load.ts'
import { killCycles, type Moment, moments } from './kill-cycles.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'
import { inRounds, sum, total } from './rounds.ts'

const drainTimeoutMs = 120_000

/** What breaks which program. A run with a sabotage makes only the kills that can show it. */
const sabotages: Readonly<Record<string, Sabotage>> = {
  'ack-before-commit': { agent: 'ack-before-commit', moments: ['agent/random', 'agent/commit'] },
  'no-dup-check': { agent: 'no-dup-check', moments: ['agent/commit', 'agent/random'] },
  'answer-before-append': { hub: 'ack-before-commit', moments: ['database/heard'] },
  'no-identity-check': { hub: 'no-identity-check', moments: ['hub/answer'] },
  'offset-only-skip': { hub: 'offset-only-skip', moments: ['hub/answer'] },
}

interface Sabotage {
  /** The program's own word, in TRIBUTARY_SABOTAGE. */
  readonly agent?: string
  readonly hub?: string
  /** The kills of the full schedule that show it. */
  readonly moments: readonly Moment[]
}

export const durability: Proof = {
  name: 'durability',
  summary: 'SIGKILL of agent, hub and database under load: nothing acknowledged is lost, nothing is stored twice',
  options: {
    cycles: { type: 'string', value: 'N', default: '20', help: 'kills that count' },
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

interface Round {
  readonly cycles: number
  readonly notCounted: number
  readonly kills: Readonly<Record<string, number>>
  readonly sent: number
  readonly acknowledgedQos1: number
  readonly acknowledgedQos2: number
  readonly stored: number
  readonly lost: number
  readonly duplicated: number
  readonly drained: boolean
  readonly examples: readonly string[]
}

async function run(context: ProofContext): Promise<ProofResult> {
  const cycles = Number(context.values.cycles)
  const rounds = await inRounds<Round>(context, (index, count) => runRound(context, index, count))
  const [lost, duplicated, counted] = [sum(rounds, 'lost'), sum(rounds, 'duplicated'), sum(rounds, 'cycles')]
  return {
    ok: lost === 0 && duplicated === 0 && counted === cycles && rounds.every(({ drained }) => drained),
    figures: {
      cycles: counted,
      rounds: rounds.length,
      notCounted: sum(rounds, 'notCounted'),
      kills: total(rounds.map(round => round.kills)),
      sent: sum(rounds, 'sent'),
      acknowledged: sum(rounds, 'acknowledgedQos1') + sum(rounds, 'acknowledgedQos2'),
      acknowledgedByQos: { 1: sum(rounds, 'acknowledgedQos1'), 2: sum(rounds, 'acknowledgedQos2') },
      stored: sum(rounds, 'stored'),
      lost,
      duplicated,
      drained: rounds.every(({ drained }) => drained),
      examples: rounds.flatMap(({ examples }) => examples).slice(0, 10),
    },
    targets: [
      target('acknowledged and lost', lost, '=', 0),
      target('stored twice', duplicated, '=', 0),
      target('cycles that count', counted, '=', cycles),
    ],
  }
}

async function runRound(context: ProofContext, index: number, cycles: number): Promise<Round> {
  const { values, seed, sabotage, progress, signal } = context
  const folder = values.folder
    ? join(values.folder, `round-${index}`)
    : mkdtempSync(join(tmpdir(), 'tributary-durability-'))
  mkdirSync(folder, { recursive: true })
  const broken = sabotages[sabotage ?? '']
  const env = (word: string | undefined) => (word === undefined ? {} : { env: { TRIBUTARY_SABOTAGE: word } })

  let keep = true
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => (keep ? progress(`data and logs: ${folder}`) : rm(folder, { recursive: true, force: true })))
  progress(`round ${index + 1}: starting hub and agent in ${folder}`)
  const hub = await startHub({ folder, ...env(broken?.hub) })
  stopping.defer(() => hub.program.stop())
  const proxy = new HubProxy(hub.port)
  stopping.defer(() => proxy.close())
  const hubUrl = `http://127.0.0.1:${await proxy.listen()}`
  await enrollAgent({ folder, hub, hubUrl })
  const agent = await startAgent({ folder, hubUrl, ...env(broken?.agent) })
  stopping.defer(() => agent.program.stop())
  const book = new DeliveryBook(DeviceLoad.lanes)
  const load = new DeviceLoad(agent.mqttPort, book)
  stopping.defer(() => load.abandon())
  const schedule: readonly Moment[] = broken?.moments ?? moments
  const random = createRandom(String(seed), `round ${index}`)
  const counted = await killCycles({ cycles, hub, agent, proxy, book, schedule, random, progress, signal })
  progress('draining')
  await load.stop()
  const drained = (await drain(agent, hub, drainTimeoutMs)) && book.outstanding === 0
  const pool = hubPool(hub.dataDir)
  const stored = await storedReadings(pool)
  await pool.end()
  const found = difference(book.sent, book.acknowledged, stored)
  const well = found.lost === 0 && found.duplicated === 0 && drained
  keep = values.folder !== undefined || (!well && sabotage === undefined)
  return {
    cycles: counted.total,
    notCounted: counted.notCounted,
    kills: counted.kills,
    sent: book.sent.size,
    acknowledgedQos1: book.byLane.qos1!,
    acknowledgedQos2: book.byLane.qos2!,
    stored: stored.size,
    ...found,
    drained,
  }
}
