/**
 * A fleet's messages over MQTT: a number of devices' connections to one broker; a device always speaks over the same one, so its
 * messages keep their order.
 */
import { MqttDevice, type MqttDeviceOptions } from './mqtt-device.ts'
import type { Counters, Message, Transport } from './transport.ts'

export interface MqttTransportOptions extends Omit<MqttDeviceOptions, 'clientId'> {
  /** The connections are called `<clientId>-0`, `<clientId>-1`, …; with one connection `<clientId>`. */
  readonly clientId: string
  readonly connections: number
  readonly qos: 0 | 1 | 2
}

export class MqttTransport implements Transport {
  readonly name: string
  readonly acknowledges: boolean
  readonly #qos: 0 | 1 | 2
  readonly #connections: readonly MqttDevice[]
  readonly #byDevice = new Map<string, MqttDevice>()

  constructor({ connections, qos, clientId, ...options }: MqttTransportOptions) {
    this.name = `${options.url} QoS ${qos}`
    this.acknowledges = qos > 0
    this.#qos = qos
    this.#connections = Array.from(
      { length: connections },
      (_, i) => new MqttDevice({ ...options, clientId: connections === 1 ? clientId : `${clientId}-${i}` }),
    )
  }

  async start(): Promise<void> {
    await Promise.all(this.#connections.map(connection => connection.start()))
  }

  room(device: string): Promise<void> {
    return this.#of(device).room()
  }

  send({ device, topic, payload }: Message): Promise<void> {
    return this.#of(device).publish(topic, payload, this.#qos)
  }

  async stop(drainMs: number): Promise<void> {
    await Promise.all(this.#connections.map(connection => connection.close(drainMs)))
  }

  counters(): Counters {
    const sum = { sent: 0, acknowledged: 0, resent: 0, unacknowledged: 0 }
    for (const counters of this.#connections.map(connection => connection.counters()))
      for (const key of Object.keys(sum) as (keyof Counters)[]) sum[key] += counters[key]
    return sum
  }

  #of(device: string): MqttDevice {
    let connection = this.#byDevice.get(device)
    if (connection === undefined) {
      connection = this.#connections[this.#byDevice.size % this.#connections.length]!
      this.#byDevice.set(device, connection)
    }
    return connection
  }
}
