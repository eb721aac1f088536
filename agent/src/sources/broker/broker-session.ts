/**
 * One connection to a broker elsewhere, as a client with a persistent session (MQTT 3.1.1, clean session 0).
 *
 *   CONNECT ─► CONNACK ─► SUBSCRIBE ─► SUBACK ─► messages until the connection ends; PINGREQ by half of the keep-alive
 *
 * Messages and their acknowledgements are the business of `MqttConnection`, the same one that hears sensors: PUBACK and PUBREC leave
 * after the commit. This is the other side of it, in the place where the embedded broker is.
 */
import type { Socket } from 'node:net'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { generate, type Packet, parser } from 'mqtt-packet'
import { MqttConnection, type Shared } from '../mqtt/connection.ts'

export interface SessionOptions {
  readonly clientId: string
  readonly username: string | null
  readonly password: string | null
  readonly topics: readonly string[]
  readonly qos: 0 | 1 | 2
  readonly keepAliveMs: number
  /** From the first byte to SUBACK. */
  readonly handshakeMs: number
}

const refusals: Readonly<Record<number, string>> = {
  1: 'it does not speak MQTT 3.1.1',
  2: 'it rejects the client id',
  3: 'it is not available now',
  4: 'the user name or password is wrong',
  5: 'the client is not authorised',
}

export class BrokerSession {
  /** Resolves at SUBACK; throws `unavailable`, `unauthenticated`, `forbidden` or `not-supported`. */
  readonly ready: Promise<void>
  /** Resolves, with the reason, when the connection is gone. */
  readonly closed: Promise<string>
  readonly #options: SessionOptions
  readonly #connection: MqttConnection
  readonly #ready = Promise.withResolvers<void>()
  readonly #closed = Promise.withResolvers<string>()
  #timer: NodeJS.Timeout
  #pings: NodeJS.Timeout | undefined

  /** `shared` but for `closed`, which is this session's. */
  constructor(socket: Socket, shared: Omit<Shared, 'closed'>, options: SessionOptions) {
    this.#options = options
    this.ready = this.#ready.promise
    this.closed = this.#closed.promise
    this.ready.catch(() => undefined) // whoever waits for it hears it; `closed` tells everybody else
    this.#connection = new MqttConnection(socket, { ...shared, closed: (_, reason) => this.#end(reason) })
    this.#connection.clientId = options.clientId
    const packets = parser()
    packets.on('packet', packet => this.#onPacket(packet))
    packets.on('error', error => this.close(messageOf(error)))
    this.#connection.brokerSide.on('data', chunk => packets.parse(chunk))
    this.#timer = setTimeout(() => this.close('no answer to CONNECT or SUBSCRIBE'), options.handshakeMs)
    this.#send(this.#connect())
  }

  /** Read no more, answer what was heard, say DISCONNECT. */
  async stop(): Promise<void> {
    await this.#connection.drain()
    this.#send({ cmd: 'disconnect' })
    this.close('stopped')
    await this.closed
  }

  close(reason: string): void {
    this.#connection.close(reason)
  }

  #connect(): Packet {
    const { clientId, username, password, keepAliveMs } = this.#options
    return {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      clean: false,
      keepalive: Math.ceil(keepAliveMs / 1000),
      ...(username !== null && { username }),
      ...(password !== null && { password: Buffer.from(password) }),
    }
  }

  #onPacket(packet: Packet): void {
    if (packet.cmd === 'connack') this.#connected(packet.returnCode ?? 0)
    else if (packet.cmd === 'suback') this.#subscribed(packet.granted as number[])
  }

  #connected(code: number): void {
    if (code !== 0) {
      this.#refuse(
        code === 4 || code === 5 ? 'unauthenticated' : code === 3 ? 'unavailable' : 'not-supported',
        refusals[code] ?? `return code ${code}`,
      )
      return
    }
    const { topics, qos } = this.#options
    this.#connection.connected()
    this.#send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map(topic => ({ topic, qos })) } as Packet)
  }

  /** A broker may grant less than it was asked for, or nothing [MQTT-3.9.3-2]. */
  #subscribed(granted: readonly number[]): void {
    const { topics } = this.#options
    const refused = topics.filter((_, index) => granted[index] === 0x80)
    if (refused.length > 0) {
      this.#refuse('forbidden', `it refuses the subscription to ${refused.join(', ')}`)
      return
    }
    clearTimeout(this.#timer)
    this.#pings = setInterval(() => this.#ping(), this.#options.keepAliveMs / 2)
    this.#ready.resolve()
  }

  #ping(): void {
    if (this.#connection.silentMs > this.#options.keepAliveMs * 1.5) this.close('the broker fell silent')
    else this.#send({ cmd: 'pingreq' })
  }

  #refuse(code: 'unauthenticated' | 'unavailable' | 'forbidden' | 'not-supported', why: string): void {
    this.#ready.reject(new TributaryError(code, `the broker refuses: ${why}`))
    this.close(why)
  }

  #send(packet: Packet): void {
    if (!this.#connection.brokerSide.destroyed) this.#connection.brokerSide.write(generate(packet))
  }

  #end(reason: string | null): void {
    clearTimeout(this.#timer)
    clearInterval(this.#pings)
    const why = reason ?? 'the broker closed the connection'
    this.#ready.reject(new TributaryError('unavailable', why))
    this.#closed.resolve(why)
  }
}
