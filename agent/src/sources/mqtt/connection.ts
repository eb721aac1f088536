/**
 * One MQTT connection: the socket on one side, the broker (aedes) and the intake on the other.
 *
 *   socket ─► frame splitter ─┬─ PUBLISH, PUBREL ─► intake ─► buffer ─commit─► PUBACK, PUBREC, PUBCOMP ─┐
 *                             └─ everything else ─► brokerSide (a Duplex) ─► aedes ─ CONNACK, SUBACK … ─┴─► socket
 *
 * aedes knows sessions, passwords, subscriptions and keep-alives, and costs 8 µs a message; messages go past it. It sees nothing
 * before CONNECT, and no message is taken before it has answered CONNECT with success.
 *
 * - An acknowledgement is written only from the intake's `done`, which speaks of a commit.
 * - Acknowledgements and the broker's packets go through one stream, so that they never lie inside one another.
 * - Reading stops while `maxUncommitted` messages wait for their commit, while the source's bytes in flight are full, while the
 *   broker has not taken what it was given, and while the client does not read its acknowledgements.
 * - A message that cannot be stored ends the connection: the client sends it again when it returns.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { messageOf } from '@tributary/shared/errors'
import type { Stamp } from '../../time/agent-clock.ts'
import { FrameSplitter } from './frame-splitter.ts'
import type { InFlight } from './in-flight.ts'
import type { Intake } from './intake.ts'
import { type PublishPacket, parsePublish } from './publish-packet.ts'
import type { HeldReceipt, ReceiptBook, ScopeReceipts } from './receipt-book.ts'

/** Messages of one connection that wait for their commit. */
const maxUncommitted = 2048
/** Bytes written to a client and not taken by its socket. */
const maxUnwritten = 64 * 1024

/** First byte of a packet: type, and the flags that its type prescribes. */
const Type = { publish: 3, pubrel: 6 } as const
const Answer = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const

/** What all connections of a source share. */
export interface Shared {
  readonly intake: Intake
  readonly receipts: ReceiptBook
  /** Begins the names of receipts: `<scope>1:<client>` and `<scope>2:<client>`, by QoS. */
  readonly scope: string
  readonly inFlight: InFlight
  readonly maxPacketBytes: number
  /** `refuse`: a longer packet ends the connection; `cut`: what is left of a message becomes a dead letter. */
  readonly tooLong: 'refuse' | 'cut'
  /** Forget a QoS 2 receipt; resolves when durable. */
  readonly release: (scope: string, id: number) => Promise<void>
  /** Called with every message after its commit, when clients may subscribe. */
  readonly forward: ((packet: PublishPacket) => void) | null
  /** The time of receipt of what came now. */
  readonly stamp: () => Stamp
  /** For silence: never jumps. */
  readonly monotonicMs: () => number
  readonly closed: (connection: MqttConnection, reason: string | null) => void
}

/** A client's name and receipts, once its CONNECT was answered. */
interface Session {
  /** Null: nothing to recognise a redelivery by. */
  readonly qos1: ScopeReceipts | null
  readonly qos2: ScopeReceipts | null
}

export class MqttConnection {
  /** What aedes holds for the connection. */
  readonly brokerSide: BrokerSide
  /** As given in CONNECT; null when the client gave none: the broker makes one up, under which no redelivery ever comes. */
  clientId: string | null = null
  /** Silence after which the connection is closed, ms; the keep-alive of its CONNECT. */
  maxSilenceMs = Number.POSITIVE_INFINITY
  readonly #socket: Socket
  readonly #shared: Shared
  readonly #splitter: FrameSplitter
  #received: Stamp
  #lastHeardMs: number
  #session: Session | null = null
  #connectSeen = false
  #uncommitted = 0
  #running = false
  #closed = false
  #reason: string | null = null
  #drained: (() => void) | null = null
  #answers: number[] = []
  #answered: HeldReceipt[] = []
  #flushQueued = false
  readonly #run = (): void => this.run()

  constructor(socket: Socket, shared: Shared) {
    this.#socket = socket
    this.#shared = shared
    this.#splitter = new FrameSplitter(shared.maxPacketBytes, shared.tooLong)
    this.#received = shared.stamp()
    this.#lastHeardMs = shared.monotonicMs()
    this.brokerSide = new BrokerSide(socket, this)
    socket.on('data', (chunk: Buffer) => {
      this.#received = shared.stamp()
      this.#lastHeardMs = shared.monotonicMs()
      this.#splitter.push(chunk)
      this.run()
    })
    socket.on('error', error => this.close(messageOf(error)))
    socket.on('close', () => this.close(null))
  }

  /** The broker has answered CONNECT with success. */
  connected(): void {
    const { receipts, scope } = this.#shared
    const { clientId } = this
    this.#session = {
      qos1: clientId === null ? null : receipts.scope(`${scope}1:${clientId}`),
      qos2: clientId === null ? null : receipts.scope(`${scope}2:${clientId}`),
    }
    this.run()
  }

  /** Since the last bytes came, ms. */
  get silentMs(): number {
    return this.#shared.monotonicMs() - this.#lastHeardMs
  }

  /** Take what can be taken. */
  run(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    try {
      while (!this.#closed) {
        if (this.#blocked()) {
          this.#socket.pause()
          return
        }
        if (!this.#splitter.next()) {
          this.#socket.resume()
          return
        }
        this.#dispatch()
      }
    } catch (error) {
      this.close(messageOf(error))
    } finally {
      this.#running = false
    }
  }

  /** Read no more; resolves when every message heard is answered. */
  drain(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#drained = resolve
    this.#socket.pause()
    this.#drainedNow()
    return promise
  }

  /** `reason` is null when the client left by itself. */
  close(reason: string | null): void {
    if (this.#closed) return
    this.#closed = true
    this.#reason = reason
    this.#shared.inFlight.forget(this.#run)
    this.brokerSide.destroy()
    this.#socket.destroy()
    this.#drainedNow()
    this.#shared.closed(this, this.#reason)
  }

  #blocked(): boolean {
    if (this.#drained !== null) return true
    if (this.#shared.inFlight.full) {
      this.#shared.inFlight.wait(this.#run)
      return true
    }
    const awaitsConnack = this.#connectSeen && this.#session === null
    return (
      awaitsConnack ||
      this.#uncommitted >= maxUncommitted ||
      this.brokerSide.full ||
      this.brokerSide.writableLength > maxUnwritten
    )
  }

  #dispatch(): void {
    const { bytes, at, body, end, cutOff } = this.#splitter
    const type = bytes[at]! >> 4
    if (this.#session !== null && type === Type.publish)
      this.#publish(parsePublish(bytes, at, body, end, cutOff), this.#session, end - at)
    else if (this.#session !== null && type === Type.pubrel) this.#pubrel(bytes, at, body, end, this.#session)
    else {
      if (type === Type.publish) throw new RangeError('PUBLISH before CONNECT [MQTT-3.1.0-1]')
      this.#connectSeen = true
      this.brokerSide.give(bytes.subarray(at, end))
    }
  }

  #publish(packet: PublishPacket, session: Session, size: number): void {
    const { intake, inFlight, forward } = this.#shared
    const scope = packet.qos === 0 ? null : packet.qos === 1 ? session.qos1 : session.qos2
    this.#uncommitted++
    inFlight.add(size)
    intake.take(packet, scope, this.#received, (error, receipt) => {
      this.#uncommitted--
      inFlight.remove(size)
      if (error !== null) this.close(error.message)
      else if (packet.qos === 1) this.#answer(Answer.puback, packet.id, receipt)
      else if (packet.qos === 2) this.#answer(Answer.pubrec, packet.id, receipt)
      if (error === null && forward !== null) forward(packet)
      this.#afterCommit()
    })
  }

  /** An identifier that is not known gets its PUBCOMP too [MQTT-4.3.3-2]. */
  #pubrel(bytes: Buffer, at: number, body: number, end: number, session: Session): void {
    if ((bytes[at]! & 0xf) !== 2 || end - body !== 2) throw new RangeError('malformed PUBREL [MQTT-3.6.1-1]')
    const id = bytes.readUInt16BE(body)
    const held = session.qos2?.get(id)
    if (session.qos2 === null || held === undefined) {
      this.#answer(Answer.pubcomp, id, null)
      return
    }
    const scope = session.qos2
    this.#uncommitted++
    this.#shared.release(scope.name, id).then(
      () => {
        scope.remove(id, held)
        this.#uncommitted--
        this.#answer(Answer.pubcomp, id, null)
        this.#afterCommit()
      },
      error => {
        this.#uncommitted--
        this.close(messageOf(error))
      },
    )
  }

  #afterCommit(): void {
    if (this.#drained !== null) this.#drainedNow()
    else if (this.#socket.isPaused()) this.run()
  }

  #drainedNow(): void {
    if (this.#drained === null || (this.#uncommitted > 0 && !this.#closed)) return
    const drained = this.#drained
    this.#flush()
    if (this.#closed) drained()
    else this.brokerSide.write(Buffer.alloc(0), () => drained())
  }

  /** Answers of one group commit leave in one write. */
  #answer(first: number, id: number, receipt: HeldReceipt | null): void {
    if (this.#closed) return
    this.#answers.push(first, id)
    if (receipt !== null) this.#answered.push(receipt)
    if (this.#flushQueued) return
    this.#flushQueued = true
    queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    this.#flushQueued = false
    const answers = this.#answers
    const answered = this.#answered
    if (answers.length === 0 || this.#closed) return
    this.#answers = []
    this.#answered = []
    const bytes = Buffer.allocUnsafe(answers.length * 2)
    for (let i = 0; i < answers.length; i += 2) {
      bytes[2 * i] = answers[i]!
      bytes[2 * i + 1] = 2
      bytes.writeUInt16BE(answers[i + 1]!, 2 * i + 2)
    }
    this.brokerSide.write(bytes, error => {
      if (!error) for (const receipt of answered) receipt.state = 'acknowledged'
    })
  }
}

/** The connection as the broker sees it: without the messages. */
export class BrokerSide extends Duplex {
  readonly connection: MqttConnection
  /** The broker has yet to read what it was given. */
  full = false
  readonly #socket: Socket

  constructor(socket: Socket, connection: MqttConnection) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    this.connection = connection
    // The broker listens too, but only while it holds the connection.
    this.on('error', error => connection.close(messageOf(error)))
  }

  /** Hand a packet to the broker. */
  give(packet: Buffer): void {
    this.full = !this.push(packet)
  }

  override _read(): void {
    if (!this.full) return
    this.full = false
    this.connection.run()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, error => {
      done(error)
      this.connection.run()
    })
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), '', done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connection.close(error === null ? null : messageOf(error))
    done(error)
  }
}
