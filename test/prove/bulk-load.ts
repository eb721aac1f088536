/** MQTT devices that send many readings in each QoS 1 message, as fast as they are acknowledged. Their lane in the book is `bulk`. */
import { MqttDevice } from '../../firmware-sim/src/transports/mqtt-device.ts'
import { readingKey } from '../harness/multiset.ts'
import { type DeliveryBook, makeValue } from './delivery-book.ts'

const devices = 4
const inFlightEach = 10
const metrics = 10

export const bulkLane = 'bulk'

export class BulkLoad {
  readonly #book: DeliveryBook
  readonly #devices: MqttDevice[]
  #sent = 0

  constructor(port: number, book: DeliveryBook) {
    this.#book = book
    this.#devices = Array.from(
      { length: devices },
      (_, i) => new MqttDevice({ port, clientId: `bulk-${i}`, backoff: { baseMs: 50, capMs: 400 } }),
    )
  }

  /** Send so many messages; resolves when all are acknowledged. */
  async send(messages: number): Promise<void> {
    const end = this.#sent + messages
    await this.#everyDevice(() => this.#sent < end)
  }

  /** Send while `more` says so; resolves when all are acknowledged. */
  async sendWhile(more: () => boolean): Promise<void> {
    await this.#everyDevice(more)
  }

  async close(): Promise<void> {
    await Promise.all(this.#devices.map(device => device.close()))
  }

  async #everyDevice(more: () => boolean): Promise<void> {
    const loops = this.#devices.flatMap((device, i) =>
      Array.from({ length: inFlightEach }, (_, slot) => this.#publish(device, `bulk${i}-${slot}`, more)),
    )
    await Promise.all(loops)
  }

  async #publish(device: MqttDevice, name: string, more: () => boolean): Promise<void> {
    while (more()) {
      const n = this.#sent++
      const tsUs = Date.now() * 1000 + (n % 1000)
      const values = Array.from({ length: metrics }, (_, slot) => makeValue(slot, n))
      const keys = values.map(({ value }, slot) => readingKey(name, `m${slot}`, tsUs, value))
      const payload = `{${values.map(({ valueText }, slot) => `"m${slot}":${valueText}`).join(',')},"ts":${tsUs},"seq":${n}}`
      await this.#book.deliver(bulkLane, keys, () => device.publish(`sensors/${name}`, payload, 1))
    }
  }
}
