/** Waits until everything acknowledged has passed: nothing left at the agent, nothing left in the log for the hub's consumers. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentStatus } from '../../agent/src/health/agent-status.ts'
import type { RunningAgent, RunningHub } from './stack.ts'

const everyMs = 250

/** False when there is something left, or somebody does not answer, after `timeoutMs`. */
export async function drain(agent: RunningAgent, hub: RunningHub, timeoutMs: number): Promise<boolean> {
  for (const endMs = Date.now() + timeoutMs; Date.now() < endMs; await sleep(everyMs)) {
    if (await isDrained(agent, hub).catch(() => false)) return true
  }
  return false
}

async function isDrained(agent: RunningAgent, hub: RunningHub): Promise<boolean> {
  const { buffer } = await agentStatus(agent)
  if (buffer.backlogReadings > 0 || buffer.sealedPending > 0) return false
  const metrics = await (await fetch(`${hub.url}/metrics`)).text()
  const lags = ['store', 'detect'].map(consumer =>
    hubMetric(metrics, `tributary_log_lag_records{consumer="${consumer}"}`),
  )
  return lags.every(lag => lag === 0)
}

/** GET /status of the agent. */
export async function agentStatus(agent: RunningAgent): Promise<AgentStatus> {
  return (await (await fetch(`${agent.healthUrl}/status`)).json()) as AgentStatus
}

/** One sample of a Prometheus text; null when it is not there. */
export function hubMetric(text: string, sample: string): number | null {
  const line = text.split('\n').find(one => one.startsWith(`${sample} `))
  return line === undefined ? null : Number(line.slice(sample.length + 1))
}
