/** What goes wrong on purpose: the network to the hub is cut for a while, and the agent is killed and started again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { HubProxy } from '../test/harness/hub-proxy.ts'
import type { RunningAgent } from '../test/harness/stack.ts'
import type { Disturbance } from './latency.ts'

export interface Mishaps {
  readonly proxy: HubProxy
  readonly agent: RunningAgent
  /** Of the part of the demo in which they happen, ms. */
  readonly spanMs: number
  readonly note: (text: string) => void
  /** Nothing more is broken; what is broken is mended. */
  readonly signal: AbortSignal
  /** Nor is it mended any more. */
  readonly cut: AbortSignal
}

const cutMs = 5000

/** Resolves with when they happened, or with those that had happened when the signal fired. */
export async function makeMishaps({ proxy, agent, spanMs, note, signal, cut }: Mishaps): Promise<Disturbance[]> {
  const disturbances: Disturbance[] = []
  const disturb = async (mishap: () => Promise<void>) => {
    const fromMs = Date.now()
    await mishap()
    disturbances.push({ fromMs, untilMs: Date.now() })
  }
  const wait = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined)
  await wait(spanMs * 0.25)
  if (!signal.aborted)
    await disturb(async () => {
      const forMs = Math.min(cutMs, spanMs / 4)
      note(`the network to the hub is cut for ${forMs / 1000} s; the agent goes on taking readings`)
      proxy.sever()
      await wait(forMs)
      proxy.mend()
      note('the network is back')
    })
  await wait(spanMs * 0.2)
  if (!signal.aborted)
    await disturb(async () => {
      note('the agent is killed (SIGKILL) and started again; the devices go on')
      await agent.program.stop('SIGKILL')
      const startMs = performance.now()
      await agent.program.start(cut)
      note(`the agent is back after ${((performance.now() - startMs) / 1000).toFixed(1)} s`)
    })
  return disturbances
}
