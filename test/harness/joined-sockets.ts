/** The two ends of what a TCP proxy passes on: they live and die together, and all of them can be cut. */
import { connect, type Socket } from 'node:net'

export class JoinedSockets {
  readonly #sockets = new Set<Socket>()

  /** A connection to the port on behalf of who came in by `client`. What flows between them is the caller's. */
  join(client: Socket, port: number): Socket {
    const server = connect(port, '127.0.0.1')
    for (const [socket, peer] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => peer.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        peer.destroy()
      })
    }
    return server
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
