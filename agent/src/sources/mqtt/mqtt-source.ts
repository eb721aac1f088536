/**
 * The MQTT source: a broker for sensors that publish (MQTT 3.1 and 3.1.1, QoS 0, 1, 2).
 *
 * - PUBACK and PUBREC leave after the commit, PUBCOMP after the durable release (connection.ts, intake.ts).
 * - While the buffer cannot commit, publishers are disconnected and CONNECT is refused with code 3 (server unavailable).
 * - Policy: wills are not published, the retain flag is ignored, nothing is delivered to clients unless `allowSubscribe`; then at
 *   QoS 0, for looking on. Topics that begin with `$` are never delivered.
 * - Off loopback a user name and a password are required.
 * - A port that another program has, or an address that the machine does not have yet, is tried again (supervisor.ts); a start that
 *   would hear nothing else is refused instead (`refuseIfTaken`).
 * - Bounded: connections, packet size, silence, client names, bytes in flight, deliveries to subscribers.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { isTributaryError, messageOf, TributaryError } from '@tributary/shared/errors'
import type { Backoff } from '@tributary/shared/retry'
import { Aedes, type AuthenticateError, type Client, type ConnectPacket } from 'aedes'
import type { Logger } from 'pino'
import type { Buffer as ReadingBuffer } from '../../buffer/buffer.ts'
import type { MqttConfig } from '../../config/agent-config.ts'
import type { Decoder } from '../../decode/decoder.ts'
import type { Stamp } from '../../time/agent-clock.ts'
import type { Accept, Source, SourceStatus } from '../source.ts'
import { Supervisor } from '../supervisor.ts'
import { type BrokerSide, MqttConnection, type Shared } from './connection.ts'
import { Credentials } from './credentials.ts'
import { InFlight } from './in-flight.ts'
import { Intake, type Sabotage } from './intake.ts'
import type { PublishPacket } from './publish-packet.ts'
import { ReceiptBook } from './receipt-book.ts'

/** A client's name, bytes of UTF-8. */
const maxClientIdBytes = 256
/** Deliveries to subscribers under way; what comes beyond is not delivered. */
const maxDeliveries = 1000
/** How long `stop` waits for messages heard to be committed. */
const drainMs = 5000
const defaultRetry: Backoff = { baseMs: 500, capMs: 10_000 }

export interface MqttSourceOptions {
  readonly config: MqttConfig
  readonly users: readonly { readonly name: string; readonly passwordHash: string }[]
  readonly accept: Accept
  readonly buffer: Pick<ReadingBuffer, 'receipts' | 'release' | 'onWritable'>
  readonly decoder: Decoder
  /** As many as the buffer keeps. */
  readonly maxReceipts: number
  readonly log: Logger
  readonly sabotage: Sabotage
  /** There is no other source: throw at the start when the address is taken. Default true. */
  readonly refuseIfTaken?: boolean
  /** Wall clock, whole microseconds. */
  readonly stamp: () => Stamp
  /** For silence; replaced in tests. */
  readonly monotonicMs?: () => number
  readonly retry?: Backoff
}

export interface MqttStats {
  readonly connections: number
  /** CONNECTs and connections turned away. */
  readonly refused: number
  /** Connections closed because of what they sent. */
  readonly brokenOff: number
  readonly inFlightBytes: number
}

export class MqttSource implements Source {
  readonly name = 'mqtt'
  readonly #options: MqttSourceOptions
  readonly #shared: Shared
  readonly #credentials: Credentials
  readonly #connections = new Set<MqttConnection>()
  readonly #server: Server
  readonly #broker: Aedes
  readonly #supervisor: Supervisor
  #writable = true
  #refused = 0
  #brokenOff = 0
  #deliveries = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(options: MqttSourceOptions) {
    const { config, accept, buffer, decoder, sabotage } = options
    this.#options = options
    this.#credentials = new Credentials(options.users)
    const receipts = new ReceiptBook(options.maxReceipts, mqttReceipts(buffer))
    this.#shared = {
      intake: new Intake({
        source: this.name,
        accept,
        decoder,
        receipts,
        maxPayloadBytes: config.maxPayload,
        sabotage,
      }),
      receipts,
      scope: 'mqtt',
      inFlight: new InFlight(config.maxInFlight),
      maxPacketBytes: config.maxPacket,
      tooLong: 'refuse',
      release: (scope, id) => buffer.release(scope, id),
      forward: config.allowSubscribe ? packet => this.#deliver(packet) : null,
      stamp: options.stamp,
      monotonicMs: options.monotonicMs ?? (() => performance.now()),
      closed: (connection, reason) => this.#closed(connection, reason),
    }
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, socket =>
      this.#connection(socket),
    )
    this.#server.maxConnections = config.maxConnections
    this.#server.on('drop', () => this.#refused++)
    this.#broker = new Aedes({
      connectTimeout: config.connectTimeout,
      maxClientsIdLength: maxClientIdBytes,
      preConnect: (client, packet, done) => {
        this.#preConnect(client, packet)
        done(null, true)
      },
      authenticate: (client, username, password, done) => this.#authenticate(client, username, password, done),
      // Messages never come this way; wills do.
      authorizePublish: (_client, _packet, done) => done(new Error('wills are not published')),
      authorizeSubscribe: (_client, subscription, done) =>
        done(null, config.allowSubscribe && !subscription.topic.startsWith('$') ? { ...subscription, qos: 0 } : null),
    })
    this.#supervisor = new Supervisor({
      live: (running, signal) => this.#live(running, signal),
      where: `${config.host}:${config.port}`,
      retry: options.retry ?? defaultRetry,
      log: options.log,
    })
    this.#broker.on('clientReady', client => connectionOf(client).connected())
    buffer.onWritable(writable => this.#setWritable(writable))
  }

  /** @throws config when other machines can reach the address without a password */
  static checkAddress({ host }: MqttConfig, credentials: Credentials): void {
    if (isLoopback(host) || credentials.required) return
    throw new TributaryError(
      'config',
      `mqtt.host is ${host}, which other machines can reach, but no user is configured`,
      {
        hint: 'Add mqtt.users or mqtt.password_file, or listen on 127.0.0.1.',
      },
    )
  }

  /** @throws config, and in-use when it is to refuse that */
  async start(): Promise<void> {
    MqttSource.checkAddress(this.#options.config, this.#credentials)
    await this.#broker.listen()
    // Too many open files, for one: that connection is lost, the next is tried again.
    this.#server.on('error', error => {
      if (!this.#server.listening) return
      this.#options.log.warn({ error: error.message }, 'a connection could not be accepted')
    })
    this.#sweep = setInterval(() => this.#closeSilent(), 1000)
    this.#sweep.unref()
    const { refuseIfTaken = true } = this.#options
    await this.#supervisor.start(error => isTributaryError(error, 'config') || refuseIfTaken)
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweep)
    const drained = Promise.all([...this.#connections].map(connection => connection.drain()))
    const stopped = this.#supervisor.stop()
    await Promise.race([drained, new Promise(resolve => setTimeout(resolve, drainMs).unref())])
    for (const connection of this.#connections) connection.close(null)
    await new Promise<void>(resolve => this.#broker.close(resolve))
    await stopped
  }

  /** Listening, until it is to stop, or the server closes by itself. */
  async #live(running: (detail: string) => void, signal: AbortSignal): Promise<void> {
    const { host, port } = this.#options.config
    await listen(this.#server, host, port)
    running(`${host}:${this.port}`)
    const closed = new Promise<void>(resolve => this.#server.once('close', resolve))
    const close = () => this.#server.close()
    signal.addEventListener('abort', close, { once: true })
    if (signal.aborted) close()
    await closed
    signal.removeEventListener('abort', close)
    throw new TributaryError('unavailable', 'the server closed')
  }

  /** The port listened on; the configured one until `start` has resolved. */
  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : this.#options.config.port
  }

  status(): SourceStatus {
    const { messages, deadLettered, duplicates } = this.#shared.intake
    const supervised = this.#supervisor.status()
    const refuses = supervised.state === 'running' && !this.#writable
    return {
      ...supervised,
      ...(refuses && { state: 'waiting', detail: 'the buffer cannot commit; publishers are refused' }),
      messages,
      deadLettered,
      duplicates,
    }
  }

  stats(): MqttStats {
    return {
      connections: this.#connections.size,
      refused: this.#refused,
      brokenOff: this.#brokenOff,
      inFlightBytes: this.#shared.inFlight.bytes,
    }
  }

  #connection(socket: Socket): void {
    const connection = new MqttConnection(socket, this.#shared)
    this.#connections.add(connection)
    this.#broker.handle(connection.brokerSide)
  }

  #closed(connection: MqttConnection, reason: string | null): void {
    this.#connections.delete(connection)
    if (reason === null) return
    this.#brokenOff++
    this.#options.log.debug({ reason }, 'connection closed')
  }

  /** Keep-alives are counted here, where all packets pass; the broker would count those it does not see as silence. */
  #preConnect(client: Client, packet: ConnectPacket): void {
    const { maxSilence } = this.#options.config
    const keepAliveMs = (packet.keepalive ?? 0) * 1500
    const connection = connectionOf(client)
    connection.clientId = packet.clientId || null
    connection.maxSilenceMs = keepAliveMs > 0 ? Math.min(keepAliveMs, maxSilence) : maxSilence
    packet.keepalive = 0
    delete packet.will
  }

  #authenticate(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void {
    const refuse = (returnCode: 2 | 3 | 4 | 5, why: string) => {
      this.#refused++
      this.#options.log.warn({ client: client.id, username, why }, 'CONNECT refused')
      done(Object.assign(new Error(why), { returnCode }) as AuthenticateError, false)
    }
    if (!this.#writable || this.#supervisor.status().state !== 'running') refuse(3, 'the buffer cannot commit')
    else if (!usableClientId(client.id)) refuse(2, 'client identifier')
    else if (!this.#credentials.required) done(null, true)
    else if (username === undefined || password === undefined) refuse(5, 'no user name or password')
    else {
      this.#credentials.check(username, password).then(
        right => {
          if (right === true) done(null, true)
          else if (right === 'busy') refuse(3, 'too many logins at once')
          else refuse(4, 'wrong user name or password')
        },
        error => refuse(3, messageOf(error)),
      )
    }
  }

  #setWritable(writable: boolean): void {
    this.#writable = writable
    if (writable) return
    for (const connection of this.#connections) connection.close('the buffer cannot commit')
  }

  #closeSilent(): void {
    for (const connection of this.#connections) {
      if (connection.silentMs > connection.maxSilenceMs) connection.close('silent for longer than its keep-alive')
    }
  }

  #deliver({ topic, payload }: PublishPacket): void {
    if (this.#deliveries >= maxDeliveries || topic.startsWith('$')) return
    this.#deliveries++
    this.#broker.publish(
      { cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false },
      () => this.#deliveries--,
    )
  }
}

/** 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function usableClientId(id: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
  return Buffer.byteLength(id) <= maxClientIdBytes && !/[\u0000-\u001f\u007f]/.test(id)
}

function connectionOf(client: Client): MqttConnection {
  return (client.conn as BrokerSide).connection
}

function mqttReceipts(buffer: Pick<ReadingBuffer, 'receipts'>) {
  return buffer.receipts().filter(({ scope }) => scope.startsWith('mqtt'))
}

function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const failed = (cause: NodeJS.ErrnoException) => {
    server.off('listening', listening)
    reject(listenError(cause, host, port))
  }
  const listening = () => {
    server.off('error', failed)
    resolve()
  }
  server.once('error', failed)
  server.once('listening', listening)
  server.listen(port, host)
  return promise
}

/** `in-use` and `unavailable` may pass: the other program ends, the address comes with its network. `config` does not. */
function listenError(cause: NodeJS.ErrnoException, host: string, port: number): TributaryError {
  const where = `cannot listen for MQTT on ${host}:${port}`
  const hint = 'Stop the other program, or set mqtt.port (0 takes a free one).'
  if (cause.code === 'EADDRINUSE') return new TributaryError('in-use', `${where}: the port is in use`, { cause, hint })
  if (cause.code !== 'EADDRNOTAVAIL') return new TributaryError('config', `${where}: ${cause.message}`, { cause })
  return new TributaryError('unavailable', `${where}: this machine does not have the address`, {
    cause,
    hint: 'Set mqtt.host to an address of this machine.',
  })
}
