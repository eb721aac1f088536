/**
 * Devices that number their readings and remember by the true time when each was handed over and acknowledged. Some bring a time with
 * their payload, the others leave it to the agent. A device sends one reading after another, and never gives one up.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { MqttDevice } from '../../../firmware-sim/src/transports/mqtt-device.ts'

const pauseMs = 40
const stopTimeoutMs = 60_000
export const metric = 'n'

export interface Sent {
  readonly device: string
  readonly n: number
  /** The time in the payload, µs; null when there is none. */
  readonly ownUs: number | null
  /** True times, ms, and the boots that ran then. */
  readonly sentMs: number
  readonly sentBoot: number
  ackedMs: number
  ackedBoot: number
}

export class StampedLoad {
  readonly sent: Sent[] = []
  /** Which boot of the machine runs now. */
  boot = 0
  readonly #devices: MqttDevice[]
  readonly #loops: Promise<void>[]
  #stopping = false

  constructor(mqttPort: number, devices: number) {
    const backoff = { baseMs: 20, capMs: 200 }
    const names = Array.from({ length: devices }, (_, index) => `clocked${index}`)
    this.#devices = names.map(clientId => new MqttDevice({ port: mqttPort, clientId, backoff }))
    this.#loops = this.#devices.map((device, index) => this.#publish(device, names[index]!, index % 3 === 2))
    for (const loop of this.#loops) loop.catch(() => undefined) // abandoned: `stop` has waited for it
  }

  get acknowledged(): number {
    return this.sent.filter(({ ackedMs }) => ackedMs > 0).length
  }

  async #publish(device: MqttDevice, name: string, ownTime: boolean): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const sentMs = Date.now()
      const ownUs = ownTime ? sentMs * 1000 + (n % 1000) : null
      const reading: Sent = { device: name, n, ownUs, sentMs, sentBoot: this.boot, ackedMs: 0, ackedBoot: -1 }
      this.sent.push(reading)
      const payload = JSON.stringify({ value: n, seq: n, ...(ownUs !== null && { ts: ownUs }) })
      await device.publish(`sensors/${name}/${metric}`, payload, n % 2 === 0 ? 1 : 2)
      reading.ackedMs = Date.now()
      reading.ackedBoot = this.boot
      await sleep(pauseMs)
    }
  }

  /** Resolves when everything is acknowledged. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.race([Promise.all(this.#loops), sleep(stopTimeoutMs, undefined, { ref: false })])
    await Promise.all(this.#devices.map(device => device.close()))
  }
}
