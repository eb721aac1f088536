/** A mosquitto that is there already: the agent subscribes at it, or its bridge forwards to the agent; over restarts of both. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { agentStatus } from '../harness/drain.ts'
import { freePort, type RunningAgent, startAgent } from '../harness/stack.ts'

let cleanup = new AsyncDisposableStack()
afterEach(async () => {
  await cleanup.disposeAsync()
  cleanup = new AsyncDisposableStack()
})

/** Lets a test in on `port`, and keeps what it owes over its own restarts. */
function listenerConfig(port: number, folder: string): string {
  return `listener ${port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location ${folder}/
autosave_interval 1
autosave_on_changes true
`
}

/** What the README says. */
function bridgeConfig(agentPort: number): string {
  return `connection tributary
address 127.0.0.1:${agentPort}
topic sensors/# out 1
notifications false
cleansession false
restart_timeout 1
`
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-mosquitto-'))
  // Started by root, mosquitto runs as an account of its own.
  chmodSync(folder, 0o777)
  cleanup.defer(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function startMosquitto(config: string): Promise<{ stop(): Promise<void> }> {
  const child = spawn('mosquitto', ['-c', config], { stdio: 'ignore' })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill()
    await once(child, 'exit')
  }
  cleanup.defer(stop)
  return { stop }
}

async function connectWhenUp(port: number) {
  for (let tries = 0; ; tries++) {
    try {
      return await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 }, false)
    } catch (error) {
      if (tries > 100) throw error
      await sleep(50)
    }
  }
}

async function publish(port: number, qos: 1 | 2, ...numbers: number[]): Promise<void> {
  const client = await connectWhenUp(port)
  for (const n of numbers)
    await client.publishAsync('sensors/press-1/temperature', `{"value":${n},"seq":${n}}`, { qos })
  await client.endAsync()
}

const kept = async (agent: RunningAgent) => (await agentStatus(agent)).buffer.backlogReadings
const patience = { timeout: 20_000 }

test('a bridge forwards what mosquitto hears, also what it heard while the agent was killed', async () => {
  const folder = makeFolder()
  const agent = await startAgent({ folder })
  cleanup.defer(() => agent.program.stop())
  const port = await freePort()
  const config = join(folder, 'mosquitto.conf')
  writeFileSync(config, listenerConfig(port, folder) + bridgeConfig(agent.mqttPort))
  await startMosquitto(config)
  await publish(port, 1, 1)
  await expect.poll(() => kept(agent), patience).toBe(1)
  await agent.program.stop('SIGKILL')
  await publish(port, 1, 2, 3)
  await agent.program.start()
  await expect.poll(() => kept(agent), patience).toBe(3)
})

test.each([1, 2] as const)(
  'a subscription at QoS %i stores once what comes while the agent or mosquitto is down',
  async qos => {
    const folder = makeFolder()
    const port = await freePort()
    const config = join(folder, 'mosquitto.conf')
    writeFileSync(config, listenerConfig(port, folder))
    const mosquitto = await startMosquitto(config)
    const broker = `brokers:\n  - name: plant\n    url: mqtt://127.0.0.1:${port}\n    topics: [sensors/#]\n    qos: ${qos}\n`
    const agent = await startAgent({ folder, config: broker })
    cleanup.defer(() => agent.program.stop())
    await expect.poll(async () => (await sourceOf(agent))?.state, patience).toBe('running')
    await publish(port, qos, 1, 2)
    await expect.poll(() => kept(agent), patience).toBe(2)
    await agent.program.stop('SIGKILL')
    await publish(port, qos, 3, 4)
    await agent.program.start()
    await expect.poll(() => kept(agent), patience).toBe(4)
    await mosquitto.stop()
    await startMosquitto(config)
    await expect.poll(async () => (await sourceOf(agent))?.state, patience).toBe('running')
    await publish(port, qos, 5)
    await expect.poll(() => kept(agent), patience).toBe(5)
    await sleep(500)
    expect(await kept(agent)).toBe(5)
  },
)

interface Sources {
  readonly sources: readonly { readonly name: string; readonly state: string }[]
}

async function sourceOf(agent: RunningAgent) {
  const status = (await (await fetch(`${agent.healthUrl}/status`)).json()) as Sources
  return status.sources.find(({ name }) => name === 'broker:plant')
}
