/** The lines that the README gives for a mosquitto that is there already: its bridge forwards to the agent, over the agent's restarts. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { agentStatus } from '../harness/drain.ts'
import { freePort, startAgent } from '../harness/stack.ts'

const cleanup = new AsyncDisposableStack()
afterEach(() => cleanup.disposeAsync())

/** What the README says, and what mosquitto needs to run here. */
function bridgeConfig(port: number, agentPort: number): string {
  return `listener ${port} 127.0.0.1
allow_anonymous true
connection tributary
address 127.0.0.1:${agentPort}
topic sensors/# out 1
notifications false
cleansession false
restart_timeout 1
`
}

function startMosquitto(config: string): ChildProcess {
  const child = spawn('mosquitto', ['-c', config], { stdio: 'ignore' })
  cleanup.defer(async () => {
    child.kill()
    await once(child, 'exit')
  })
  return child
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

test('what an existing mosquitto hears is in the agent, also what it heard while the agent was killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bridge-'))
  cleanup.defer(() => rmSync(folder, { recursive: true, force: true }))
  const agent = await startAgent({ folder })
  cleanup.defer(() => agent.program.stop())
  const port = await freePort()
  const config = join(folder, 'mosquitto.conf')
  writeFileSync(config, bridgeConfig(port, agent.mqttPort))
  startMosquitto(config)
  const client = await connectWhenUp(port)
  cleanup.defer(() => client.endAsync())
  const publish = (n: number) => client.publishAsync('sensors/press-1/temperature', String(n), { qos: 1 })
  const kept = async () => (await agentStatus(agent)).buffer.backlogReadings

  await publish(1)
  await expect.poll(kept, { timeout: 20_000 }).toBe(1)
  await agent.program.stop('SIGKILL')
  await publish(2)
  await publish(3)
  await agent.program.start()
  await expect.poll(kept, { timeout: 20_000 }).toBe(3)
})
