/** MQTT devices at QoS 1 and 2 that never give a message up. Their lanes in the book are `qos1` and `qos2`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { MqttDevice } from '../../firmware-sim/src/transports/mqtt-device.ts'
import { type DeliveryBook, makeReading } from './delivery-book.ts'

const defaultDevices = 24
const inFlightEach = 10
/** A device waits this long between messages, so that a round of kills stays comparable in memory. */
const burstPauseMs = 60
const stopTimeoutMs = 120_000

export class DeviceLoad {
  static readonly lanes = ['qos1', 'qos2'] as const
  readonly #book: DeliveryBook
  readonly #devices: MqttDevice[] = []
  readonly #loops: Promise<void>[] = []
  #stopping = false

  /** `prefix` goes before the names of the devices. */
  constructor(port: number, book: DeliveryBook, devices = defaultDevices, prefix = '') {
    this.#book = book
    for (let i = 0; i < devices; i++) {
      const device = new MqttDevice({ port, clientId: `proof-${i}`, backoff: { baseMs: 50, capMs: 400 } })
      this.#devices.push(device)
      for (let slot = 0; slot < inFlightEach; slot++) {
        const loop = this.#publish(device, `${prefix}dev${i}`, slot, i % 2 === 0 ? 1 : 2)
        loop.catch(() => undefined) // abandoned: `stop` has waited for it
        this.#loops.push(loop)
      }
    }
  }

  async #publish(device: MqttDevice, name: string, slot: number, qos: 1 | 2): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const { key, tsUs, valueText } = makeReading(name, slot, n)
      const payload = `{"value":${valueText},"ts":${tsUs},"seq":${n}}`
      await this.#book.deliver(`qos${qos}`, [key], () => device.publish(`sensors/${name}/m${slot}`, payload, qos))
      await sleep(burstPauseMs)
    }
  }

  /** No new messages; resolves when all are acknowledged, or after two minutes. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.race([Promise.all(this.#loops), sleep(stopTimeoutMs, undefined, { ref: false })])
  }

  async abandon(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#devices.map(device => device.close()))
  }
}
