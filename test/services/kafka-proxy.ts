/**
 * A proxy before a broker that knows as much of Kafka's protocol as it takes to lose one answer.
 *
 * A request is: size int32, API key int16, version int16, correlation id int32, …; an answer: size int32, correlation id int32, ….
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The protocol's numbers of two requests. */
const apiKeys = { produce: 0, fetch: 1 } as const

export class KafkaProxy {
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private brokerPort = 0
  private readonly toLose: number[] = []

  private constructor(server: Server) {
    this.server = server
  }

  static async listen(): Promise<KafkaProxy> {
    const server = createServer()
    const proxy = new KafkaProxy(server)
    server.on('connection', client => proxy.connected(client))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Where requests go. */
  forwardTo(port: number): void {
    this.brokerPort = port
  }

  /** The next request of this kind arrives, its answer does not. */
  loseNextAnswer(request: keyof typeof apiKeys): void {
    this.toLose.push(apiKeys[request])
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }

  private connected(client: Socket): void {
    const broker = connect(this.brokerPort, '127.0.0.1')
    const lost = new Set<number>()
    onFrame(client, frame => {
      const place = this.toLose.indexOf(frame.readInt16BE(4))
      if (place >= 0) {
        this.toLose.splice(place, 1)
        lost.add(frame.readInt32BE(8))
      }
      broker.write(frame)
    })
    onFrame(broker, frame => {
      if (!lost.delete(frame.readInt32BE(4))) client.write(frame)
    })
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        this.sockets.delete(one)
        other.destroy()
      })
    }
  }
}

function onFrame(socket: Socket, listener: (frame: Buffer) => void): void {
  let held = Buffer.alloc(0)
  socket.on('data', chunk => {
    held = Buffer.concat([held, chunk])
    while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
      const length = 4 + held.readInt32BE(0)
      listener(held.subarray(0, length))
      held = held.subarray(length)
    }
  })
}
