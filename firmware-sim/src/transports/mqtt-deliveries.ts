/**
 * The publishing side of an MQTT 3.1.1 session: what was published and not yet acknowledged.
 *
 *   unsent ──write──► published ──PUBACK──► done                       QoS 1
 *   unsent ──write──► published ──PUBREC──► released ──PUBCOMP──► done  QoS 2
 *
 * After a reconnection everything unfinished is written again with its packet id: PUBREL for what is released, in the order of
 * the PUBRECs [MQTT-4.6.0-4], then PUBLISH in the order of the first writes [MQTT-4.6.0-1], with DUP = 1 if it was written before
 * [MQTT-3.3.1-1]. Apart from the DUP bit the bytes are those of the first time. A packet id is free again only after PUBACK or
 * PUBCOMP [MQTT-2.3.1-3].
 */

import type { TributaryError } from '@tributary/shared/errors'
import { generate } from 'mqtt-packet'

export interface Delivery {
  readonly packetId: number
  readonly qos: 1 | 2
  /** The PUBLISH packet with DUP = 0. */
  readonly packet: Buffer
  state: 'unsent' | 'published' | 'released'
  resolve(): void
  reject(error: TributaryError): void
}

export interface Publication {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos: 0 | 1 | 2
}

/** The largest packet id, and so the largest number of deliveries under way. */
export const maxPacketId = 65_535
const dupFlag = 0x08

export function encodePublish({ topic, payload, qos }: Publication, packetId: number): Buffer {
  const bytes = typeof payload === 'string' ? payload : Buffer.from(payload)
  const packet = { cmd: 'publish', topic, payload: bytes, qos, dup: false, retain: false } as const
  return generate(qos === 0 ? packet : { ...packet, messageId: packetId })
}

export function encodePubrel(packetId: number): Buffer {
  return generate({ cmd: 'pubrel', messageId: packetId })
}

export class MqttDeliveries {
  /** Unsent and published, in the order of the first publication. */
  readonly #publishing = new Map<number, Delivery>()
  /** Released, in the order of the PUBRECs. */
  readonly #released = new Map<number, Delivery>()
  #lastPacketId = 0

  get size(): number {
    return this.#publishing.size + this.#released.size
  }

  /** At most `maxPacketId` may be under way; the caller bounds them. */
  add(publication: Publication & { readonly qos: 1 | 2 }, settle: Pick<Delivery, 'resolve' | 'reject'>): Delivery {
    const packetId = this.#freePacketId()
    const packet = encodePublish(publication, packetId)
    const delivery: Delivery = { packetId, qos: publication.qos, packet, state: 'unsent', ...settle }
    this.#publishing.set(packetId, delivery)
    return delivery
  }

  /** PUBACK: the finished delivery, or null when it answers nothing. */
  puback(packetId: number): Delivery | null {
    const delivery = this.#publishing.get(packetId)
    if (delivery?.qos !== 1 || delivery.state !== 'published') return null
    this.#publishing.delete(packetId)
    return delivery
  }

  /** PUBREC: from here on the PUBLISH must not be sent again [MQTT-4.3.3-1]. */
  pubrec(packetId: number): void {
    const delivery = this.#publishing.get(packetId)
    if (delivery?.qos !== 2 || delivery.state !== 'published') return
    this.#publishing.delete(packetId)
    delivery.state = 'released'
    this.#released.set(packetId, delivery)
  }

  /** PUBCOMP: the finished delivery, or null when it answers nothing. */
  pubcomp(packetId: number): Delivery | null {
    const delivery = this.#released.get(packetId) ?? null
    this.#released.delete(packetId)
    return delivery
  }

  /** The packets to write on a new connection, before anything else. */
  *resume(): Generator<{ readonly packetId: number; readonly packet: Buffer; readonly again: boolean }> {
    for (const { packetId } of this.#released.values()) yield { packetId, packet: encodePubrel(packetId), again: true }
    for (const delivery of this.#publishing.values()) {
      const again = delivery.state === 'published'
      delivery.state = 'published'
      yield { packetId: delivery.packetId, packet: again ? withDup(delivery.packet) : delivery.packet, again }
    }
  }

  /** Everything unfinished, given up. */
  clear(): Delivery[] {
    const all = [...this.#released.values(), ...this.#publishing.values()]
    this.#released.clear()
    this.#publishing.clear()
    return all
  }

  #freePacketId(): number {
    do this.#lastPacketId = (this.#lastPacketId % maxPacketId) + 1
    while (this.#publishing.has(this.#lastPacketId) || this.#released.has(this.#lastPacketId))
    return this.#lastPacketId
  }
}

function withDup(packet: Buffer): Buffer {
  const copy = Buffer.from(packet)
  copy[0] = copy[0]! | dupFlag
  return copy
}
