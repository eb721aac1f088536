/** A gateway of the proof `rewind`: an agent in a folder of its own, its devices, and what they saw acknowledged. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentStatus } from '../../../agent/src/health/agent-status.ts'
import { MqttDevice } from '../../../firmware-sim/src/transports/mqtt-device.ts'
import { agentStatus } from '../../harness/drain.ts'
import type { Multiset } from '../../harness/multiset.ts'
import { type RunningAgent, startAgent } from '../../harness/stack.ts'
import { DeliveryBook, makeReading } from '../delivery-book.ts'
import { DeviceLoad } from '../device-load.ts'
import { readBuffer } from '../fault-agent.ts'
import { copyFolder } from './hub-folder.ts'

const devices = 8
const patienceMs = 60_000

export interface GatewayOptions {
  readonly folder: string
  readonly hubUrl: string
  /** Begins the names of its devices. */
  readonly prefix: string
  readonly sabotage?: readonly string[]
  readonly config?: string
}

export class Gateway {
  readonly book = new DeliveryBook(DeviceLoad.lanes)
  readonly folder: string
  readonly agent: RunningAgent
  readonly #prefix: string
  #loads = 0
  #load: DeviceLoad | null = null
  #trickled = 0

  private constructor({ folder, prefix }: GatewayOptions, agent: RunningAgent) {
    this.folder = folder
    this.#prefix = prefix
    this.agent = agent
  }

  static async start(options: GatewayOptions): Promise<Gateway> {
    const { folder, hubUrl, sabotage = [], config = '' } = options
    const env = { TRIBUTARY_SABOTAGE: sabotage.join(',') }
    return new Gateway(options, await startAgent({ folder, hubUrl, config, env }))
  }

  /** Devices send for `ms`, and as long as it takes until acknowledgements flow on every lane. */
  async flow(ms: number): Promise<void> {
    this.#load ??= new DeviceLoad(this.agent.mqttPort, this.book, devices, `${this.#prefix}${this.#loads++}-`)
    await sleep(ms)
    await this.book.flowing(1000)
  }

  /** Devices fall silent when everything of theirs is acknowledged. */
  async silence(): Promise<void> {
    const load = this.#load
    this.#load = null
    await load?.stop()
    await load?.abandon()
  }

  async kill(): Promise<void> {
    await this.agent.program.stop('SIGKILL')
  }

  async killAndStart(): Promise<void> {
    await this.kill()
    await this.agent.program.start()
  }

  /** A reading of a device that goes on while the others are silent. */
  async trickle(): Promise<void> {
    const device = new MqttDevice({
      port: this.agent.mqttPort,
      clientId: 'proof-trickle',
      backoff: { baseMs: 50, capMs: 400 },
    })
    const name = `${this.#prefix}trickle`
    const { key, tsUs, valueText } = makeReading(name, 0, ++this.#trickled)
    const payload = `{"value":${valueText},"ts":${tsUs}}`
    await this.book.deliver('qos1', [key], () => device.publish(`sensors/${name}/m0`, payload, 1))
    await device.close()
  }

  /** Everything that devices saw acknowledged has been answered by the hub. */
  async drained(): Promise<void> {
    for (const endMs = Date.now() + patienceMs; Date.now() < endMs; await sleep(100)) {
      const { buffer } = await this.status()
      if (buffer.backlogReadings === 0) return
    }
    throw new Error(`the agent did not drain in ${patienceMs / 1000} s`)
  }

  /** Asked again when the connection is one to the agent before it was killed. */
  status(): Promise<AgentStatus> {
    return agentStatus(this.agent).catch(() => agentStatus(this.agent))
  }

  /** An image of its data folder, while it does not run. */
  saveImage(to: string): void {
    mkdirSync(to, { recursive: true })
    copyFolder(this.agent.dataDir, join(to, 'agent'))
  }

  putBack(image: string): void {
    rmSync(this.agent.dataDir, { recursive: true })
    copyFolder(join(image, 'agent'), this.agent.dataDir)
  }
}

/** What an image still had to send: whoever runs it sends it, and so does the gateway that it was taken from. */
export async function unsentIn(image: string): Promise<Multiset> {
  const copy = `${image}-read`
  copyFolder(image, copy)
  const { stored } = await readBuffer(join(copy, 'agent'))
  rmSync(copy, { recursive: true })
  return stored
}
