/** For tests: a broker that says exactly what it is told to, also wrong things. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { generate, type Packet, parser } from 'mqtt-packet'

const patienceMs = 5000

export interface Granting {
  /** Return code of CONNACK; null: no answer. */
  readonly connack?: number | null
  /** Of every subscription. */
  readonly granted?: number
}

export class RawBroker {
  readonly received: Packet[] = []
  connections = 0
  granting: Granting = {}
  readonly #server: Server
  #socket: Socket | null = null

  private constructor() {
    this.#server = createServer(socket => this.#connection(socket))
  }

  static async open(granting: Granting = {}): Promise<RawBroker> {
    const broker = new RawBroker()
    broker.granting = granting
    broker.#server.listen(0, '127.0.0.1')
    await once(broker.#server, 'listening')
    return broker
  }

  get url(): string {
    return `mqtt://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  send(packet: object): void {
    this.write(generate(packet as Packet))
  }

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes)
  }

  publish(messageId: number, value: number, more: object = {}): void {
    const payload = `{"value":${value},"seq":${value}}`
    this.send({ cmd: 'publish', topic: 'sensors/d/m', payload, qos: 1, dup: false, retain: false, messageId, ...more })
  }

  /** Take the first packet of that kind out of `received`, waiting for it. */
  async next<C extends Packet['cmd']>(cmd: C): Promise<Extract<Packet, { cmd: C }>> {
    for (const endMs = Date.now() + patienceMs; Date.now() < endMs; ) {
      const index = this.received.findIndex(packet => packet.cmd === cmd)
      if (index >= 0) return this.received.splice(index, 1)[0] as Extract<Packet, { cmd: C }>
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    throw new Error(`no ${cmd} came`)
  }

  cut(): void {
    this.#socket?.destroy()
  }

  close(): void {
    this.cut()
    this.#server.close()
  }

  #connection(socket: Socket): void {
    this.#socket = socket
    this.connections++
    const packets = parser()
    packets.on('packet', packet => this.#onPacket(packet))
    socket.on('data', chunk => packets.parse(chunk))
    socket.on('error', () => undefined)
  }

  #onPacket(packet: Packet): void {
    this.received.push(packet)
    const { connack = 0, granted } = this.granting
    if (packet.cmd === 'connect' && connack !== null)
      this.send({ cmd: 'connack', returnCode: connack, sessionPresent: false })
    if (packet.cmd === 'subscribe')
      this.send({
        cmd: 'suback',
        messageId: packet.messageId,
        granted: packet.subscriptions.map(({ qos }) => granted ?? qos),
      })
    if (packet.cmd === 'pingreq') this.send({ cmd: 'pingresp' })
  }
}
