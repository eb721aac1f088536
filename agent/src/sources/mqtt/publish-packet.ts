/**
 * A PUBLISH packet (MQTT 3.1.1 §3.3) as it lies in the receive buffer.
 *
 * Layout: byte 0x30 | DUP 0x08 | QoS 0x06 | RETAIN 0x01, remaining length, u16 topic length, topic, u16 packet identifier (QoS 1 and
 * 2 only), payload.
 */
import { isUtf8 } from 'node:buffer'
import { messageDigest } from '../message-digest.ts'

export interface PublishPacket {
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly dup: boolean
  /** 0 with QoS 0. */
  readonly id: number
  /** A view, valid until the connection reads on. */
  readonly payload: Buffer
  /** Topic and payload, 64 bits as 16 hex digits; empty with QoS 0. */
  readonly digest: string
  /** Bytes of the payload that were left out: the packet was too long. */
  readonly cutOff: number
}

/** @throws RangeError naming the broken rule: the connection is to be closed [MQTT-4.8.0-1] */
export function parsePublish(bytes: Buffer, at: number, body: number, end: number, cutOff = 0): PublishPacket {
  const flags = bytes[at]!
  const qos = (flags >> 1) & 3
  const dup = (flags & 8) !== 0
  if (qos === 3) throw new RangeError('QoS 3 [MQTT-3.3.1-4]')
  if (dup && qos === 0) throw new RangeError('DUP with QoS 0 [MQTT-3.3.1-2]')
  const topicAt = body + 2
  const topicEnd = topicAt + (end >= topicAt ? bytes.readUInt16BE(body) : 0)
  const payloadAt = qos === 0 ? topicEnd : topicEnd + 2
  if (end < topicAt || end < payloadAt) throw new RangeError('PUBLISH shorter than its topic says')
  const id = qos === 0 ? 0 : bytes.readUInt16BE(topicEnd)
  if (qos !== 0 && id === 0) throw new RangeError('packet identifier 0 [MQTT-2.3.1-1]')
  return {
    topic: topicOf(bytes, topicAt, topicEnd),
    qos: qos as 0 | 1 | 2,
    dup,
    id,
    payload: bytes.subarray(payloadAt, end),
    digest: qos === 0 ? '' : messageDigest(bytes, topicAt, topicEnd, payloadAt, end),
    cutOff,
  }
}

function topicOf(bytes: Buffer, at: number, end: number): string {
  if (at === end) throw new RangeError('empty topic [MQTT-4.7.3-1]')
  const topic = bytes.toString('utf8', at, end)
  if (topic.includes('\ufffd') && !isUtf8(bytes.subarray(at, end)))
    throw new RangeError('topic is not UTF-8 [MQTT-1.5.3-1]')
  if (topic.includes('\0')) throw new RangeError('U+0000 in topic [MQTT-1.5.3-2]')
  if (topic.includes('#') || topic.includes('+')) throw new RangeError('wildcard in topic [MQTT-3.3.2-2]')
  return topic
}
