/** For tests: an MQTT client that sends exactly the packets it is told to, also wrong ones. */
import { connect, type Socket } from 'node:net'
import { generate, type Packet, parser } from 'mqtt-packet'

/** How long a test waits for a packet that has to come. */
const patienceMs = 5000

export class RawClient {
  readonly socket: Socket
  readonly received: Packet[] = []
  readonly closed: Promise<void>
  #wake: (() => void) | null = null

  private constructor(socket: Socket) {
    this.socket = socket
    const packets = parser()
    packets.on('packet', packet => {
      this.received.push(packet)
      this.#wake?.()
    })
    socket.on('data', chunk => packets.parse(chunk))
    // The broker's way of saying no is to reset the connection.
    socket.on('error', () => this.#wake?.())
    this.closed = new Promise(resolve => socket.once('close', () => resolve()))
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new RawClient(socket)
  }

  /** Open and say CONNECT; the answer is the first packet of `received`. */
  static async connect(port: number, clientId: string, more: Record<string, unknown> = {}): Promise<RawClient> {
    const client = await RawClient.open(port)
    client.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId,
      ...more,
    } as Packet)
    await client.next('connack')
    return client
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet))
  }

  publish(
    topic: string,
    payload: string | Buffer,
    more: { qos?: 0 | 1 | 2; messageId?: number; dup?: boolean; retain?: boolean } = {},
  ): void {
    const { qos = 1, messageId = 1, dup = false, retain = false } = more
    this.send({ cmd: 'publish', topic, payload, qos, dup, retain, ...(qos > 0 && { messageId }) } as Packet)
  }

  /** Take the first packet of that kind out of `received`, waiting for it. */
  async next<C extends Packet['cmd']>(cmd: C): Promise<Extract<Packet, { cmd: C }>> {
    const deadline = Date.now() + patienceMs
    for (;;) {
      const index = this.received.findIndex(packet => packet.cmd === cmd)
      if (index >= 0) return this.received.splice(index, 1)[0] as Extract<Packet, { cmd: C }>
      if (this.socket.destroyed || Date.now() > deadline) throw new Error(`no ${cmd} came`)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const timer = setTimeout(resolve, 50)
      await promise
      clearTimeout(timer)
    }
  }

  destroy(): void {
    this.socket.destroy()
  }
}
