/**
 * An MQTT device: publishes, and never gives a message up before its acknowledgement.
 *
 * It keeps one persistent session (clean session 0) for its whole life and reconnects by itself with full-jitter backoff. On
 * each new connection everything unacknowledged is written again, in order, with the same packet id and DUP = 1 (see
 * mqtt-deliveries.ts), before anything new. It starts with nothing stored, so a session that the broker still keeps for its
 * client id is discarded first [MQTT-3.1.2-6]: an old packet id could pass for a new message. At most `maxInFlight` messages wait for
 * their acknowledgement; further `publish` calls wait for room, as they do for a connection at QoS 0.
 *
 *   idle ──start──► connecting ──CONNACK──► connected ──lost──► connecting …
 *   any ──refused for good──► failed        any ──close──► closed
 */
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { type Backoff, fullJitterMs, pause } from '@tributary/shared/retry'
import type { Packet } from 'mqtt-packet'
import { connectMqtt, type MqttConnection, type MqttTarget, parseBrokerUrl } from './mqtt-connection.ts'
import {
  type Delivery,
  encodePublish,
  encodePubrel,
  MqttDeliveries,
  maxPacketId,
  type Publication,
} from './mqtt-deliveries.ts'
import { Slots } from './slots.ts'
import type { Counters } from './transport.ts'

export interface MqttDeviceEvents {
  readonly acked?: (publication: Publication) => void
  /** A PUBLISH or PUBREL was written again. */
  readonly resent?: (packetId: number) => void
  readonly connected?: () => void
  /** The connection is gone or could not be made; the device tries again unless the error is not retryable. */
  readonly disconnected?: (error: TributaryError) => void
}

export interface MqttDeviceOptions extends Omit<MqttTarget, 'url' | 'keepAliveS' | 'connectTimeoutMs'> {
  /** `mqtt://host:port` or `mqtts://host:port`; default: `port` on this machine. */
  readonly url?: string
  /** Default 1883. */
  readonly port?: number
  /** 1 to 65535; default 1000. */
  readonly maxInFlight?: number
  /** Default 30. */
  readonly keepAliveS?: number
  /** Default 10,000. */
  readonly connectTimeoutMs?: number
  /** Default 100 ms to 5 s. */
  readonly backoff?: Backoff
  readonly events?: MqttDeviceEvents
}

type State = 'idle' | 'connecting' | 'connected' | 'failed' | 'closed'

export class MqttDevice {
  readonly #target: MqttTarget
  readonly #backoff: Backoff
  readonly #events: MqttDeviceEvents
  readonly #slots: Slots
  readonly #deliveries = new MqttDeliveries()
  readonly #unsentQos0: (() => void)[] = []
  readonly #stopping = new AbortController()
  readonly #ready = Promise.withResolvers<void>()
  #state: State = 'idle'
  #session: 'unknown' | 'discard' | 'own' = 'unknown'
  #connection: MqttConnection | null = null
  #running: Promise<void> = Promise.resolve()
  #sent = 0
  #acknowledged = 0
  #resent = 0
  #abandoned = 0

  constructor(options: MqttDeviceOptions) {
    const { maxInFlight = 1000, keepAliveS = 30, connectTimeoutMs = 10_000, backoff, events = {}, ...target } = options
    const { url = `mqtt://127.0.0.1:${options.port ?? 1883}` } = options
    if (!(Number.isInteger(maxInFlight) && maxInFlight >= 1 && maxInFlight <= maxPacketId))
      throw new TributaryError('config', `maxInFlight must be 1 to ${maxPacketId}, not ${maxInFlight}`)
    parseBrokerUrl(url)
    this.#target = { ...target, url, keepAliveS, connectTimeoutMs }
    this.#backoff = backoff ?? { baseMs: 100, capMs: 5000 }
    this.#events = events
    this.#slots = new Slots(maxInFlight)
    this.#ready.promise.catch(() => undefined) // whoever called start hears it
  }

  get state(): State {
    return this.#state
  }

  /** Resolves at the first CONNACK. Throws when the broker refuses for good or the device is closed first. */
  start(): Promise<void> {
    if (this.#state === 'idle') {
      this.#state = 'connecting'
      this.#running = this.#run()
    }
    return this.#ready.promise
  }

  /** Resolves when one more message may be published without waiting. */
  room(): Promise<void> {
    return this.#slots.room()
  }

  /**
   * Resolves at PUBACK (QoS 1), PUBCOMP (QoS 2), or when the bytes have left (QoS 0, at most once: a connection lost at that moment
   * takes them along). Throws `aborted` when the device is closed before, or the broker's refusal; a caller may ignore the promise. Starts the
   * device if need be.
   */
  publish(topic: string, payload: Uint8Array | string, qos: 0 | 1 | 2): Promise<void> {
    const published = this.#publish({ topic, payload, qos })
    published.catch(() => undefined)
    return published
  }

  async #publish(publication: Publication): Promise<void> {
    const { qos } = publication
    if (this.#state === 'idle') void this.start()
    await this.#slots.take()
    this.#sent++
    try {
      await (qos === 0 ? this.#publishOnce(publication) : this.#publishAcknowledged({ ...publication, qos }))
    } finally {
      this.#slots.release()
    }
    if (qos > 0) {
      this.#acknowledged++
      this.#events.acked?.(publication)
    }
  }

  /** Drop the connection with a TCP reset, as a device that loses its link. It reconnects by itself. */
  dropConnection(): void {
    this.#connection?.reset()
  }

  /** Take nothing new, wait up to `drainMs` for outstanding acknowledgements, disconnect. What is left is rejected. */
  async close(drainMs = 0): Promise<void> {
    const error = new TributaryError('aborted', `${this.#target.clientId} was closed`)
    this.#slots.close(error)
    if (this.#state === 'connected' || this.#state === 'connecting') await this.#slots.idle(drainMs)
    if (this.#state !== 'failed') this.#state = 'closed'
    this.#stopping.abort()
    await this.#connection?.end()
    await this.#running
    this.#giveUp(error)
  }

  counters(): Counters {
    return {
      sent: this.#sent,
      acknowledged: this.#acknowledged,
      resent: this.#resent,
      unacknowledged: this.#deliveries.size + this.#abandoned,
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    for (let attempt = 0; !signal.aborted; attempt++) {
      let error: TributaryError
      try {
        const connection = await connectMqtt(this.#target, this.#session === 'discard', p => this.#onPacket(p), signal)
        attempt = -1
        if (await this.#discardedSession(connection)) continue
        this.#resume(connection)
        error = await connection.closed
      } catch (cause) {
        error = cause instanceof TributaryError ? cause : new TributaryError('internal', messageOf(cause), { cause })
      }
      this.#connection = null
      if (signal.aborted) return
      this.#state = 'connecting'
      this.#events.disconnected?.(error)
      if (!error.retryable) return this.#fail(error)
      try {
        await pause(fullJitterMs(this.#backoff, Math.max(0, attempt)), signal)
      } catch {
        return // stopped while waiting
      }
    }
  }

  /** Whether this connection served only to get rid of an old session. */
  async #discardedSession(connection: MqttConnection): Promise<boolean> {
    const found = this.#session === 'unknown' && connection.sessionPresent
    const discarding = this.#session === 'discard'
    this.#session = found ? 'discard' : 'own'
    if (found || discarding) await connection.end()
    return found || discarding
  }

  #resume(connection: MqttConnection): void {
    this.#connection = connection
    this.#state = 'connected'
    for (const { packetId, packet, again } of this.#deliveries.resume()) {
      connection.write(packet)
      if (!again) continue
      this.#resent++
      this.#events.resent?.(packetId)
    }
    for (const write of this.#unsentQos0.splice(0)) write()
    this.#ready.resolve()
    this.#events.connected?.()
  }

  #onPacket(packet: Packet): void {
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec' && packet.cmd !== 'pubcomp') return
    const packetId = packet.messageId ?? 0
    if (packet.cmd === 'puback') this.#deliveries.puback(packetId)?.resolve()
    else if (packet.cmd === 'pubcomp') this.#deliveries.pubcomp(packetId)?.resolve()
    else {
      this.#deliveries.pubrec(packetId)
      this.#connection?.write(encodePubrel(packetId))
    }
  }

  #publishAcknowledged(publication: Publication & { qos: 1 | 2 }): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'failed' || this.#state === 'closed') return reject(this.#gone())
      const delivery: Delivery = this.#deliveries.add(publication, { resolve, reject })
      if (this.#connection === null) return
      delivery.state = 'published'
      this.#connection.write(delivery.packet)
    })
  }

  #publishOnce(publication: Publication): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'failed' || this.#state === 'closed') return reject(this.#gone())
      const write = () => {
        if (this.#connection === null) return reject(this.#gone())
        this.#connection.write(encodePublish(publication, 0), resolve)
      }
      if (this.#connection === null) this.#unsentQos0.push(write)
      else write()
    })
  }

  #fail(error: TributaryError): void {
    this.#state = 'failed'
    this.#slots.close(error)
    this.#giveUp(error)
  }

  #giveUp(error: TributaryError): void {
    const left = this.#deliveries.clear()
    this.#abandoned += left.length
    for (const delivery of left) delivery.reject(error)
    for (const write of this.#unsentQos0.splice(0)) write()
    this.#ready.reject(error)
  }

  #gone(): TributaryError {
    return new TributaryError('aborted', `${this.#target.clientId} is ${this.#state}`)
  }
}
