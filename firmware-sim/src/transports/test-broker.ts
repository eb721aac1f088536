/**
 * The far end of the wire for tests: a TCP server that shows every packet as it arrived and answers only as it is told.
 */

import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { generate, type Packet, parser } from 'mqtt-packet'

export interface TestConnection {
  /** Counts the connections from 0. */
  readonly index: number
  /** Everything received, CONNECT first. */
  readonly packets: Packet[]
  send(packet: Packet): void
  reset(): void
}

export interface TestBroker {
  readonly port: number
  readonly connections: TestConnection[]
  close(): Promise<void>
}

export async function startTestBroker(
  answer: (packet: Packet, connection: TestConnection) => void,
  tls?: TlsOptions,
): Promise<TestBroker> {
  const connections: TestConnection[] = []
  const sockets = new Set<Socket>()
  const onSocket = (socket: Socket) => {
    sockets.add(socket)
    const connection: TestConnection = {
      index: connections.length,
      packets: [],
      send: packet => void (socket.destroyed || socket.write(generate(packet))),
      reset: () => void socket.resetAndDestroy(),
    }
    connections.push(connection)
    const packets = parser()
    packets.on('packet', packet => {
      if (socket.destroyed) return
      connection.packets.push(structuredPacket(packet))
      answer(packet, connection)
    })
    socket.on('data', chunk => packets.parse(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  }
  const server = tls === undefined ? createServer(onSocket) : createTlsServer(tls, onSocket)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}

export function connack(sessionPresent = false, returnCode = 0): Packet {
  return { cmd: 'connack', sessionPresent, returnCode }
}

/** A copy without the parser's own fields. */
function structuredPacket(packet: Packet): Packet {
  const { length: _, ...rest } = packet
  return rest as Packet
}
