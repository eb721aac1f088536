import { describe, expect, it } from 'vitest'
import { MqttDeliveries, maxPacketId, type Publication } from './mqtt-deliveries.ts'

const settle = { resolve: () => undefined, reject: () => undefined }
const publication = (qos: 1 | 2): Publication & { qos: 1 | 2 } => ({ topic: 't', payload: 'x', qos })
const resumed = (deliveries: MqttDeliveries) => [...deliveries.resume()].map(r => [r.packetId, r.packet[0]])

describe('MQTT deliveries', () => {
  it('packet ids run from 1 to 65535 and around, passing over those in use', () => {
    const deliveries = new MqttDeliveries()
    const first = deliveries.add(publication(1), settle)
    const second = deliveries.add(publication(2), settle)
    first.state = second.state = 'published'
    deliveries.pubrec(second.packetId)
    let last = 0
    for (let i = 3; i <= maxPacketId; i++) {
      const delivery = deliveries.add(publication(1), settle)
      delivery.state = 'published'
      last = delivery.packetId
      deliveries.puback(last)
    }
    expect([first.packetId, second.packetId, last]).toEqual([1, 2, maxPacketId])
    expect(deliveries.add(publication(1), settle).packetId).toBe(3)
  })

  it('every packet id can be under way at once', () => {
    const deliveries = new MqttDeliveries()
    const ids = new Set(Array.from({ length: maxPacketId }, () => deliveries.add(publication(1), settle).packetId))
    expect(ids.size).toBe(maxPacketId)
    expect(deliveries.size).toBe(maxPacketId)
  })

  it('what was never written is written without DUP, and with DUP the next time', () => {
    const deliveries = new MqttDeliveries()
    deliveries.add(publication(1), settle)
    expect(resumed(deliveries)).toEqual([[1, 0x32]])
    expect(resumed(deliveries)).toEqual([[1, 0x3a]])
  })

  it('releases come first, in the order of their PUBRECs', () => {
    const deliveries = new MqttDeliveries()
    for (const qos of [2, 1, 2, 2] as const) deliveries.add(publication(qos), settle).state = 'published'
    deliveries.pubrec(4)
    deliveries.pubrec(1)
    expect(resumed(deliveries)).toEqual([
      [4, 0x62],
      [1, 0x62],
      [2, 0x3a],
      [3, 0x3c],
    ])
  })

  it('acknowledgements of the wrong kind or of nothing change nothing', () => {
    const deliveries = new MqttDeliveries()
    deliveries.add(publication(1), settle).state = 'published'
    deliveries.add(publication(2), settle).state = 'published'
    deliveries.pubrec(1)
    expect([deliveries.puback(2), deliveries.pubcomp(1), deliveries.pubcomp(2), deliveries.puback(9)]).toEqual([
      null,
      null,
      null,
      null,
    ])
    expect(deliveries.size).toBe(2)
  })

  it('an acknowledgement before the first write answers nothing', () => {
    const deliveries = new MqttDeliveries()
    deliveries.add(publication(1), settle)
    expect(deliveries.puback(1)).toBeNull()
  })
})
