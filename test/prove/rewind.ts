/**
 * Promises 1 to 3 when time is turned back: a hub restored from a backup, an event log that lost its tail, a gateway that was cloned or
 * restored from an image (rewind/scenarios.ts has them). Every reading that a device saw acknowledged is in the hub's view `reading` or
 * on the books as lost, none is there twice, and every conflict is seen by people and sealed again.
 *
 * A reading that an image held unsent is delivered by the gateway that it was taken from and by whoever runs the image: two machines
 * send it, in batches of two epochs, and nothing tells that it was measured once. It is right to store it twice, since to drop one of
 * two equal readings of different batches would lose readings elsewhere; such rows are counted apart. Batches that were sealed before
 * the image was taken have one identity and equal bytes, and are stored once.
 */
import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '../../firmware-sim/src/signals/random.ts'
import { difference, Multiset, storedReadings } from '../harness/multiset.ts'
import { hubPool, type RunningHub, startHub } from '../harness/stack.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'
import { booksOf, conflictsShown } from './rewind/books.ts'
import { type Kind, kinds, type Played, play } from './rewind/scenarios.ts'

/** What is missing has come back by then, or never will. */
const patienceMs = 45_000

interface Sabotage {
  readonly agent?: string
  readonly hub?: string
  /** The scenarios that show it. */
  readonly kinds: readonly Kind[]
}

const sabotages: Readonly<Record<string, Sabotage>> = {
  'ignore-settled': { agent: 'ignore-settled', kinds: ['restored-hub', 'log-tail-unstored'] },
  'no-conflict-check': { hub: 'no-conflict-check', kinds: ['restored-gateway', 'cloned'] },
}

export const rewind: Proof = {
  name: 'rewind',
  summary:
    'hubs, logs and gateways put back to an older state, or cloned: nothing acknowledged is lost without a word or doubled',
  options: {
    cycles: { type: 'string', value: 'N', default: String(kinds.length), help: 'scenarios, taken in turn' },
    folder: { type: 'string', value: 'DIR', help: 'keep data and logs there (a temporary folder by default)' },
  },
  quick: ['--cycles', '4'],
  sabotages: Object.keys(sabotages),
  run,
}

interface Outcome {
  readonly kind: Kind
  readonly acknowledged: number
  readonly stored: number
  /** Acknowledged, not stored, and not on the books. */
  readonly lost: number
  /** Acknowledged and not stored: on the books. */
  readonly onTheBooks: number
  readonly duplicated: number
  /** Rows of readings that two machines delivered. */
  readonly fromBoth: number
  readonly sentAgain: number
  readonly resealed: number
  readonly conflicts: number
  readonly seenByStore: number
  /** Conflicts that people are not shown, or that were not sealed again. */
  readonly unseen: number
  readonly examples: readonly string[]
}

async function run(context: ProofContext): Promise<ProofResult> {
  const { values, sabotage, progress, signal } = context
  const cycles = Number(values.cycles)
  const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'tributary-rewind-'))
  mkdirSync(folder, { recursive: true })
  let keep = true
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => (keep ? progress(`data and logs: ${folder}`) : rm(folder, { recursive: true, force: true })))
  progress('starting the hub')
  const broken = sabotages[sabotage ?? '']
  const hub = await startHub({ folder, ...(broken?.hub && { env: { TRIBUTARY_SABOTAGE: broken.hub } }) })
  stopping.defer(() => hub.program.stop())
  const schedule = broken?.kinds ?? kinds
  const outcomes: Outcome[] = []
  for (let cycle = 0; cycle < cycles && !(sabotage && outcomes.some(isBad)); cycle++) {
    signal.throwIfAborted()
    const outcome = await runCycle(context, hub, join(folder, String(cycle)), cycle, schedule[cycle % schedule.length]!)
    outcomes.push(outcome)
    progress(`${cycle + 1}/${cycles} ${JSON.stringify(outcome)}`)
  }
  const ok = !outcomes.some(isBad) && outcomes.every(hasShown)
  keep = values.folder !== undefined || (!ok && sabotage === undefined)
  const sum = (what: Countable) => outcomes.reduce((total, outcome) => total + outcome[what], 0)
  return {
    ok,
    figures: {
      cycles: outcomes.length,
      byKind: outcomes,
      ...Object.fromEntries(countables.map(what => [what, sum(what)])),
    },
    targets: [
      target('acknowledged, not stored and not on the books', sum('lost'), '=', 0),
      target('stored twice', sum('duplicated'), '=', 0),
      target('conflicts not shown, or not sealed again', sum('unseen'), '=', 0),
    ],
  }
}

const countables = [
  'acknowledged',
  'stored',
  'lost',
  'onTheBooks',
  'duplicated',
  'fromBoth',
  'sentAgain',
  'resealed',
  'conflicts',
  'seenByStore',
  'unseen',
] as const
type Countable = (typeof countables)[number]

function isBad({ lost, duplicated, unseen }: Outcome): boolean {
  return lost > 0 || duplicated > 0 || unseen > 0
}

/** Did the scenario bring about what it is there for? */
function hasShown({ kind, sentAgain, onTheBooks, resealed, conflicts, seenByStore }: Outcome): boolean {
  switch (kind) {
    case 'restored-hub':
    case 'log-tail-unstored':
      return sentAgain > 0
    case 'restored-hub-no-copies':
      return onTheBooks > 0
    case 'cloned':
      return resealed > 0 && seenByStore > 0
    case 'restored-gateway':
      return resealed > 0 && conflicts > 0
    case 'log-tail-stored':
    case 'cloned-disk':
    case 'restored-disk':
      return true
    default:
      return kind satisfies never
  }
}

async function runCycle(
  { seed, sabotage }: ProofContext,
  hub: RunningHub,
  folder: string,
  cycle: number,
  kind: Kind,
): Promise<Outcome> {
  mkdirSync(folder, { recursive: true })
  await using stopping = new AsyncDisposableStack()
  const prefix = `c${cycle}-`
  const agentSabotage = sabotages[sabotage ?? '']?.agent
  const played = await play(kind, {
    hub,
    folder,
    prefix,
    sabotage: agentSabotage === undefined ? [] : [agentSabotage],
    random: createRandom(String(seed), `cycle ${cycle}`),
    stopping,
  })
  for (const gateway of played.gateways) await gateway.silence()
  return await compareUntilStill(hub, kind, prefix, played)
}

/** One device of each gateway goes on, as answers come to batches only. */
async function compareUntilStill(hub: RunningHub, kind: Kind, prefix: string, played: Played): Promise<Outcome> {
  for (const endMs = Date.now() + patienceMs; ; await sleep(300)) {
    const isOver = Date.now() > endMs
    for (const gateway of played.gateways) await gateway.trickle()
    for (const gateway of played.gateways) await gateway.drained()
    const outcome = await compare(hub, kind, prefix, played)
    if (isOver || (!isBad(outcome) && hasShown(outcome))) return outcome
  }
}

async function compare(hub: RunningHub, kind: Kind, prefix: string, { gateways, twice }: Played): Promise<Outcome> {
  const statuses = await Promise.all(gateways.map(gateway => gateway.status()))
  const agentId = statuses[0]?.enrolment?.agentId ?? ''
  const pool = hubPool(hub.dataDir)
  try {
    const stored = await storedReadings(pool, key => key.startsWith(prefix))
    const books = await booksOf(pool, agentId)
    const [sent, acknowledged] = [
      union(gateways.map(({ book }) => book.sent)),
      union(gateways.map(({ book }) => book.acknowledged)),
    ]
    const once = difference(sent, acknowledged, stored)
    const found = difference(union([sent, twice]), acknowledged, stored)
    const conflicts = await conflictsShown(hub, agentId)
    const told = books.seenByIngest + books.seenByStore
    return {
      kind,
      acknowledged: acknowledged.size,
      stored: stored.size,
      lost: Math.max(0, found.lost - books.ledger),
      onTheBooks: Math.min(found.lost, books.ledger),
      duplicated: found.duplicated,
      fromBoth: once.duplicated - found.duplicated,
      sentAgain: statuses.reduce((sum, { uplink }) => sum + (uplink?.sentAgain ?? 0), 0),
      resealed: statuses.reduce((sum, { buffer }) => sum + buffer.resealedBatches, 0),
      conflicts,
      seenByStore: books.seenByStore,
      unseen: Math.abs(told - conflicts) + books.notResealed + Math.max(0, books.seenByStore - books.deadLetters),
      examples: found.examples.slice(0, 3),
    }
  } finally {
    await pool.end()
  }
}

function union(sets: readonly Multiset[]): Multiset {
  const all = new Multiset()
  for (const { counts } of sets)
    for (const [key, count] of counts) all.counts.set(key, (all.counts.get(key) ?? 0) + count)
  return all
}
