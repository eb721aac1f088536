/**
 * The kills of the proof `durability`. Each cycle waits until acknowledgements have flowed for a second, kills its victim with SIGKILL,
 * starts it again and goes on; one without an acknowledgement in the second before its kill does not count.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../firmware-sim/src/signals/random.ts'
import { findPostmaster } from '../../hub/src/database/postmaster.ts'
import type { HubProxy } from '../harness/hub-proxy.ts'
import type { RunningAgent, RunningHub } from '../harness/stack.ts'
import type { DeliveryBook } from './delivery-book.ts'

/**
 *   agent / random   anywhere in 800 ms
 *   agent / commit   within 5 ms of an acknowledgement: right after a commit
 *   hub / random     anywhere in 800 ms
 *   hub / commit     within 5 ms of an answer to a batch
 *   hub / heard      in the instant in which the agent hears an answer
 *   hub / answer     the same, but the answer is swallowed: the hub has stored what the agent never hears of
 *   database / …     every process of the hub's Postgres at once; the hub lives on and has to start it again by itself
 */
export const moments = [
  'agent/random',
  'agent/commit',
  'hub/answer',
  'hub/commit',
  'database/heard',
  'agent/random',
  'agent/commit',
  'hub/heard',
  'hub/random',
  'database/random',
] as const
export type Moment = (typeof moments)[number]

export interface Cycles {
  readonly cycles: number
  readonly hub: RunningHub
  readonly agent: RunningAgent
  readonly proxy: HubProxy
  readonly book: DeliveryBook
  /** Taken in turn. */
  readonly schedule: readonly Moment[]
  readonly random: Random
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

/** Kills, each counted or not, until `cycles` of them count. */
export async function killCycles(parts: Cycles) {
  const { cycles, hub, agent, proxy, book, schedule, random, progress, signal } = parts
  const kills: Record<string, number> = {}
  let notCounted = 0
  for (let done = 0; done < cycles; ) {
    signal.throwIfAborted()
    await book.flowing(1000)
    const moment = schedule[done % schedule.length]!
    const victim = moment.startsWith('agent/') ? agent.program : hub.program
    const killed = Promise.withResolvers<{ counts: boolean; pid: number }>()
    await atMoment(moment, parts, () => {
      const counts = book.acknowledgedWithinMs(1000) > 0
      const { pid } = victim
      if (moment.startsWith('database/')) killed.resolve({ counts, pid: killDatabase(hub) })
      else killed.resolve({ counts, pid: killIfThere(pid) })
    })
    const { counts, pid } = await killed.promise
    if (moment.startsWith('database/')) await readyAgain(hub, pid)
    else {
      await victim.ended()
      proxy.swallow = false
      await sleep(random.integer(0, 200))
      await victim.start()
    }
    if (!counts) {
      notCounted++
      if (notCounted > cycles) throw new Error('half of the kills came when nothing had been acknowledged for a second')
      continue
    }
    done++
    kills[moment] = (kills[moment] ?? 0) + 1
    progress(`${done}/${cycles} ${moment}: ${book.acknowledged.counts.size} acknowledged`)
  }
  return { total: cycles, notCounted, kills }
}

/** Calls `kill` in the instant that the moment names, without a turn of the event loop between where it can. */
async function atMoment(moment: Moment, { random, proxy, book }: Cycles, kill: () => void): Promise<void> {
  const leadMs = Math.floor(random.uniform() * 800)
  const withinMs = Math.floor(random.uniform() * 6)
  const killSoon = () => (withinMs === 0 ? kill() : setTimeout(kill, withinMs))
  await sleep(leadMs)
  switch (moment) {
    case 'agent/random':
    case 'hub/random':
    case 'database/random':
      return kill()
    case 'agent/commit':
      return book.onceAcknowledged(killSoon)
    case 'hub/commit':
      return proxy.onceAnswered(killSoon)
    case 'hub/heard':
    case 'database/heard':
      return proxy.onceAnswered(kill)
    case 'hub/answer':
      return proxy.onceAnswered(() => {
        proxy.swallow = true
        kill()
      })
    default:
      return moment satisfies never
  }
}

/** The hub has started its Postgres again, and is ready. */
async function readyAgain(hub: RunningHub, killedPid: number): Promise<void> {
  const endMs = Date.now() + 60_000
  for (;;) {
    const { pid = killedPid } = findPostmaster(postgresData(hub)) ?? {}
    if (pid !== killedPid && (await fetch(`${hub.url}/readyz`)).ok) return
    if (Date.now() > endMs) throw new Error('the hub was not ready a minute after its Postgres was killed')
    await sleep(50)
  }
}

function postgresData({ dataDir }: RunningHub): string {
  return join(dataDir, 'postgres', 'data')
}

/** SIGKILL to the postmaster of the hub and to all of its children; its pid. */
function killDatabase(hub: RunningHub): number {
  const postmaster = findPostmaster(postgresData(hub))
  if (postmaster === null) throw new Error(`no Postgres runs in ${hub.dataDir}`)
  const children = readFileSync(`/proc/${postmaster.pid}/task/${postmaster.pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number)
  for (const pid of [postmaster.pid, ...children]) killIfThere(pid)
  return postmaster.pid
}

function killIfThere(pid: number): number {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  return pid
}
