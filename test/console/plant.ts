/**
 * A small plant with a history, made by the real programs: a hub, three gateways, the recorded machine with its failures (shifted so
 * that it ends now) and two halls of simulated ones.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { repository } from '../harness/program.ts'
import { enrollAgent, type RunningAgent, type RunningHub, runCli, startAgent, startHub } from '../harness/stack.ts'

export interface Plant extends AsyncDisposable {
  readonly hub: RunningHub
  readonly agents: readonly RunningAgent[]
}

const recording = join(repository, 'firmware-sim/data/machine_temperature_system_failure.csv')
const start = new Date(Date.now() - 30 * 3_600_000).toISOString()
const history = ['--start', start, '--for', '30h', '--rate', String(1 / 60), '--speed', 'max']

const measured = 'temperature,vibration,power'

/** Each with a gateway, and what the simulator plays to it. */
const halls = [
  {
    site: 'hall-1',
    name: 'gateway-press',
    plays: ['replay', recording, '--device', 'press-1', '--metric', 'temperature', '--unit', 'Cel', '--speed', 'max'],
  },
  {
    site: 'hall-2',
    name: 'gateway-hall-2',
    plays: [
      'fleet',
      '--devices',
      '6',
      '--seed',
      '7',
      '--metrics',
      measured,
      '--faults',
      'step=0.001@machine-004',
      ...history,
    ],
  },
  {
    site: 'waterworks',
    name: 'gateway-pumps',
    plays: ['fleet', '--devices', '3', '--seed', '11', '--metrics', measured, ...history],
  },
]

export async function startPlant(folder: string): Promise<Plant> {
  const hub = await startHub({ folder })
  const agents: RunningAgent[] = []
  const stop = async () => {
    for (const { program } of [...agents, hub]) await program.stop()
  }
  try {
    for (const { site, name, plays } of halls) {
      const agent = await gateway(folder, hub, site, name)
      agents.push(agent)
      await simulate(agent, ...plays)
    }
    await stored(hub, agents)
  } catch (error) {
    await stop()
    throw error
  }
  return { hub, agents, [Symbol.asyncDispose]: stop }
}

async function gateway(folder: string, hub: RunningHub, site: string, name: string): Promise<RunningAgent> {
  const own = join(folder, name)
  await enrollAgent({ folder: own, hub, hubUrl: hub.url, site, name })
  return startAgent({ folder: own, hubUrl: hub.url })
}

/** Two machines that speak now, for as long as pictures are taken. */
export function playLive({ agents }: Plant): Promise<string> {
  return simulate(agents[2]!, 'fleet', '--devices', '2', '--seed', '11', '--metrics', measured, '--for', '30s')
}

function simulate(agent: RunningAgent, ...args: string[]): Promise<string> {
  return runCli('firmware-sim/src/main.ts', [...args, '--mqtt', `mqtt://127.0.0.1:${agent.mqttPort}`])
}

/** Until the hub has stored everything that the agents took. */
async function stored(hub: RunningHub, agents: readonly RunningAgent[]): Promise<void> {
  const headers = { authorization: `Bearer ${hub.adminKey}` }
  for (;;) {
    const taken = await Promise.all(agents.map(readingsTaken))
    const { readings } = (await (await fetch(`${hub.url}/v1/overview`, { headers })).json()) as { readings: number }
    if (readings >= taken.reduce((sum, one) => sum + one, 0)) return
    await sleep(200)
  }
}

async function readingsTaken({ healthUrl }: RunningAgent): Promise<number> {
  const status = (await (await fetch(`${healthUrl}/status`)).json()) as {
    buffer: { counters: { stored: number } }
  }
  return status.buffer.counters.stored
}
