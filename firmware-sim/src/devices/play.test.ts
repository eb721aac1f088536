import { describe, expect, it } from 'vitest'
import type { Recorder } from '../record/record.ts'
import type { Emission } from '../signals/emission.ts'
import { MqttTransport } from '../transports/mqtt-transport.ts'
import { connack, startTestBroker, type TestConnection } from '../transports/test-broker.ts'
import { pace } from './pace.ts'
import { play } from './play.ts'

const emission = (seq: number): Emission => ({
  device: 'd',
  tsUs: seq,
  seq,
  readings: [
    { metric: 'a', unit: '', value: seq },
    { metric: 'b', unit: '', value: true },
  ],
})

function* endless(): Generator<Emission> {
  for (let seq = 0; ; seq++) yield emission(seq)
}

function account(): { recorder: Recorder; events: string[] } {
  const events: string[] = []
  const recorder: Recorder = {
    sent: messages => events.push(...messages.map(m => `sent ${m.id}`)),
    acked: message => events.push(`acked ${message.id}`),
    close: () => undefined,
  }
  return { recorder, events }
}

describe('playing', () => {
  it('records every message as sent before it leaves and as acknowledged after its PUBACK', async () => {
    const { recorder, events } = account()
    const broker = await startTestBroker((packet, { send }: TestConnection) => {
      if (packet.cmd === 'connect') send(connack())
      if (packet.cmd !== 'publish') return
      events.push(`wire ${packet.messageId}`)
      send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
    })
    const transport = new MqttTransport({
      url: `mqtt://127.0.0.1:${broker.port}`,
      clientId: 'c',
      connections: 1,
      qos: 1,
    })
    const summary = await play({
      emissions: [emission(0), emission(1)],
      dialect: 'metric',
      transport,
      recorder,
      signal: new AbortController().signal,
    })
    await broker.close()
    expect(summary).toMatchObject({ sent: 4, acknowledged: 4, resent: 0, unacknowledged: 0, readings: 4 })
    for (const id of [1, 2, 3, 4])
      expect(events.filter(e => e.endsWith(` ${id}`))).toEqual([`sent ${id}`, `wire ${id}`, `acked ${id}`])
  })

  it('draws no more than the transport has room for, and reports what stayed unacknowledged', async () => {
    const stop = new AbortController()
    const broker = await startTestBroker((packet, { send, packets }: TestConnection) => {
      if (packet.cmd === 'connect') send(connack())
      if (packets.filter(p => p.cmd === 'publish').length === 10) stop.abort()
    })
    const { recorder, events } = account()
    const transport = new MqttTransport({
      url: `mqtt://127.0.0.1:${broker.port}`,
      clientId: 'c',
      connections: 1,
      qos: 2,
      maxInFlight: 10,
    })
    const summary = await play({
      emissions: endless(),
      dialect: 'device',
      transport,
      recorder,
      signal: stop.signal,
      drainMs: 1,
    })
    await broker.close()
    expect(summary).toMatchObject({ sent: 10, acknowledged: 0, unacknowledged: 10 })
    expect(events.filter(e => e.startsWith('sent'))).toHaveLength(11)
  })

  it('fails when the broker refuses for good', async () => {
    const broker = await startTestBroker((packet, { send }: TestConnection) => {
      if (packet.cmd === 'connect') send(connack(false, 5))
    })
    const transport = new MqttTransport({
      url: `mqtt://127.0.0.1:${broker.port}`,
      clientId: 'c',
      connections: 1,
      qos: 1,
    })
    const { signal } = new AbortController()
    await expect(play({ emissions: endless(), dialect: 'metric', transport, signal })).rejects.toMatchObject({
      code: 'unauthenticated',
    })
    await broker.close()
  })

  it('can be stopped while no broker answers', async () => {
    const transport = new MqttTransport({ url: 'mqtt://127.0.0.1:1', clientId: 'c', connections: 1, qos: 1 })
    const stop = new AbortController()
    const played = play({ emissions: endless(), dialect: 'metric', transport, signal: stop.signal })
    stop.abort()
    expect(await played).toMatchObject({ sent: 0, unacknowledged: 0 })
  })

  it('keeps the event loop alive at QoS 0 as fast as it can go', async () => {
    const broker = await startTestBroker((packet, { send }: TestConnection) => {
      if (packet.cmd === 'connect') send(connack())
    })
    const transport = new MqttTransport({
      url: `mqtt://127.0.0.1:${broker.port}`,
      clientId: 'c',
      connections: 1,
      qos: 0,
    })
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 20)
    const summary = await play({ emissions: endless(), dialect: 'metric', transport, signal: stop.signal })
    await broker.close()
    expect(summary.sent).toBeGreaterThan(0)
    expect(summary).toMatchObject({ acknowledged: 0, unacknowledged: 0 })
  })
})

describe('a pace', () => {
  const at = (item: number) => item

  it('holds nothing back at infinite speed', async () => {
    const seen: number[] = []
    for await (const item of pace([0, 1e15, 5], at, Number.POSITIVE_INFINITY)) seen.push(item)
    expect(seen).toEqual([0, 1e15, 5])
  })

  it('lets an item through no earlier than its time', async () => {
    const startMs = performance.now()
    const seen: number[] = []
    for await (const _ of pace([0, 40_000, 80_000], at, 2)) seen.push(performance.now() - startMs)
    expect(seen[1]).toBeGreaterThanOrEqual(19)
    expect(seen[2]).toBeGreaterThanOrEqual(39)
  })
})
