import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { afterEach, describe, expect, it } from 'vitest'
import { MqttTransport } from './mqtt-transport.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function aedes(): Promise<{ url: string; received: string[]; clients: Set<string>; resetAll(): void }> {
  const broker = await Aedes.createBroker()
  const received: string[] = []
  const clients = new Set<string>()
  broker.on('publish', (packet, client) => {
    if (client === null) return
    clients.add(client.id)
    received.push(`${packet.topic} ${packet.payload}`)
  })
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket.on('close', () => sockets.delete(socket)))
    broker.handle(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const resetAll = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  cleanups.push(async () => {
    await new Promise<void>(resolve => broker.close(resolve))
    resetAll()
    await new Promise(resolve => server.close(resolve))
  })
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, received, clients, resetAll }
}

const message = (id: number, device: string) => ({
  id,
  device,
  topic: `sensors/${device}/m`,
  payload: Buffer.from(String(id)),
  readings: [],
})

describe('MQTT transport against a real broker', () => {
  it.each([0, 1, 2] as const)('QoS %i: every message arrives, each device in order', async qos => {
    const { url, received, clients } = await aedes()
    const transport = new MqttTransport({ url, clientId: 'sim', connections: 3, qos, maxInFlight: 10 })
    cleanups.push(() => transport.stop(0))
    await transport.start()
    const devices = ['a', 'b', 'c', 'd']
    await Promise.all(Array.from({ length: 200 }, (_, i) => transport.send(message(i, devices[i % 4]!))))
    await transport.stop(5000)
    while (received.length < 200) await new Promise(setImmediate)
    for (const [d, device] of devices.entries())
      expect(received.filter(r => r.startsWith(`sensors/${device}/`))).toEqual(
        Array.from({ length: 50 }, (_, i) => `sensors/${device}/m ${i * 4 + d}`),
      )
    expect(clients).toEqual(new Set(['sim-0', 'sim-1', 'sim-2']))
    expect(transport.counters()).toEqual({ sent: 200, acknowledged: qos === 0 ? 0 : 200, resent: 0, unacknowledged: 0 })
  })

  it('survives resets of all connections: everything is acknowledged and was received', async () => {
    const { url, received, resetAll } = await aedes()
    const transport = new MqttTransport({ url, clientId: 'sim', connections: 2, qos: 1, maxInFlight: 50 })
    cleanups.push(() => transport.stop(0))
    const sending = Array.from({ length: 2000 }, (_, i) => transport.send(message(i, `d${i % 4}`)))
    for (let i = 1; i <= 3; i++) {
      while (transport.counters().acknowledged < i * 400) await new Promise(setImmediate)
      resetAll()
    }
    await Promise.all(sending)
    expect(new Set(received).size).toBe(2000)
    expect(transport.counters()).toMatchObject({ sent: 2000, acknowledged: 2000, unacknowledged: 0 })
  })
})
