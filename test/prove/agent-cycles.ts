/**
 * The ends of an agent in the proof `agent-durability`. Each cycle waits until acknowledgements have flowed on every lane for a second,
 * ends the agent in a moment drawn from the seed, and starts it again; the hub may be there or not, as the seed has it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../firmware-sim/src/signals/random.ts'
import type { HubProxy } from '../harness/hub-proxy.ts'
import type { RunningAgent } from '../harness/stack.ts'
import type { DeliveryBook } from './delivery-book.ts'
import type { PowerCut } from './power-cut/power-cut.ts'

/**
 *   kill / random   SIGKILL anywhere in 600 ms
 *   kill / commit   SIGKILL within 5 ms of an acknowledgement: right after a commit
 *   cut / random    the same moments, and the power goes: the disk keeps what was synced, and of the rest what chance gives it
 *   cut / commit
 */
export const endings = ['kill/random', 'cut/commit', 'kill/commit', 'cut/random', 'cut/commit'] as const
export type Ending = (typeof endings)[number]

export interface AgentCycles {
  readonly cycles: number
  readonly agent: RunningAgent
  readonly proxy: HubProxy
  readonly book: DeliveryBook
  readonly power: PowerCut
  /** Taken in turn. */
  readonly schedule: readonly Ending[]
  readonly random: Random
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

export interface CycleFigures {
  readonly endings: Readonly<Record<string, number>>
  /** From the start of the process until it is ready, ms, of every start. */
  readonly restartMs: readonly number[]
  /** Calls on files that the shim saw in all. */
  readonly callsSeen: number
  readonly walWritesSeen: number
  readonly walSyncsSeen: number
  /** Paths that a cut left otherwise than the killed agent saw them, in all. */
  readonly pathsChanged: number
}

export async function agentCycles(parts: AgentCycles): Promise<CycleFigures> {
  const { cycles, agent, proxy, book, power, schedule, random, progress, signal } = parts
  const counts: Record<string, number> = {}
  const restartMs: number[] = []
  const seen = { callsSeen: 0, walWritesSeen: 0, walSyncsSeen: 0, pathsChanged: 0 }
  for (let done = 0; done < cycles; done++) {
    signal.throwIfAborted()
    await book.flowing(1000)
    const ending = schedule[done % schedule.length]!
    await kill(ending, parts)
    await agent.program.ended()
    if (ending.startsWith('cut/')) {
      const { calls, walWrites, walSyncs, changedPaths } = power.cut(random)
      seen.callsSeen += calls
      seen.walWritesSeen += walWrites
      seen.walSyncsSeen += walSyncs
      seen.pathsChanged += changedPaths
    } else power.killed()
    if (random.chance(0.5)) proxy.sever()
    else proxy.mend()
    await sleep(random.integer(0, 200))
    const startMs = performance.now()
    await agent.program.start()
    restartMs.push(performance.now() - startMs)
    counts[ending] = (counts[ending] ?? 0) + 1
    progress(
      `${done + 1}/${cycles} ${ending}: ${book.acknowledged.counts.size} acknowledged, back in ${Math.round(restartMs.at(-1)!)} ms`,
    )
  }
  proxy.mend()
  return { endings: counts, restartMs, ...seen }
}

async function kill(ending: Ending, { agent, book, random }: AgentCycles): Promise<void> {
  const leadMs = random.integer(0, 600)
  const withinMs = random.integer(0, 5)
  await sleep(leadMs)
  if (ending.endsWith('/commit')) {
    await new Promise<void>(resolve => book.onceAcknowledged(resolve))
    if (withinMs > 0) await sleep(withinMs)
  }
  process.kill(agent.program.pid, 'SIGKILL')
}
