/**
 * A broker that is there already, as a source: subscribe, commit, acknowledge, and come back when it is gone.
 *
 * - The session is persistent and the acknowledgement leaves after the commit: what the broker hears while the agent is down or away it
 *   keeps, as far as its own bounds go, and what it sends again is recognised (intake.ts).
 * - Many messages are under way at once, so a commit takes many of them.
 * - Modes: `waiting` (no connection, tried again with full-jitter backoff) ⇄ `running` → `stopped`. No broker is no failure of the agent.
 * - While the buffer cannot commit it is disconnected.
 * - Bounded: bytes in flight, packet size. The broker would send a longer message again for ever, so the rest of it is passed over: it
 *   becomes a dead letter and is acknowledged.
 */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { type Backoff, fullJitterMs, pause } from '@tributary/shared/retry'
import type { Logger } from 'pino'
import type { Buffer as ReadingBuffer } from '../../buffer/buffer.ts'
import type { BrokerConfig } from '../../config/agent-config.ts'
import type { Decoder } from '../../decode/decoder.ts'
import type { Stamp } from '../../time/agent-clock.ts'
import type { Shared } from '../mqtt/connection.ts'
import { InFlight } from '../mqtt/in-flight.ts'
import { Intake, type Sabotage } from '../mqtt/intake.ts'
import { ReceiptBook } from '../mqtt/receipt-book.ts'
import type { Accept, Source, SourceStatus } from '../source.ts'
import { openSocket, parseBrokerAddress } from './broker-address.ts'
import { BrokerSession } from './broker-session.ts'

const handshakeMs = 10_000
const defaultRetry: Backoff = { baseMs: 250, capMs: 30_000 }

export interface BrokerSourceOptions {
  readonly config: BrokerConfig
  readonly accept: Accept
  readonly buffer: Pick<ReadingBuffer, 'receipts' | 'release' | 'onWritable'>
  readonly decoder: Decoder
  readonly maxPayloadBytes: number
  /** As many as the buffer keeps. */
  readonly maxReceipts: number
  readonly log: Logger
  readonly sabotage: Sabotage
  /** Wall clock, whole microseconds. */
  readonly stamp: () => Stamp
  /** For silence; replaced in tests. */
  readonly monotonicMs?: () => number
  readonly retry?: Backoff
}

export class BrokerSource implements Source {
  readonly name: string
  readonly #options: BrokerSourceOptions
  readonly #shared: Omit<Shared, 'closed'>
  readonly #stopping = new AbortController()
  #session: BrokerSession | null = null
  #state: SourceStatus['state'] = 'stopped'
  #detail: string
  #writable = true
  #loop: Promise<void> = Promise.resolve()

  constructor(options: BrokerSourceOptions) {
    const { config, accept, buffer, decoder, sabotage, maxPayloadBytes } = options
    this.name = `broker:${config.name}`
    this.#options = options
    this.#detail = config.url
    const scope = `broker-${config.name}-`
    const receipts = new ReceiptBook(
      options.maxReceipts,
      buffer.receipts().filter(receipt => receipt.scope.startsWith(scope)),
    )
    this.#shared = {
      intake: new Intake({ source: this.name, accept, decoder, receipts, maxPayloadBytes, sabotage }),
      receipts,
      scope,
      inFlight: new InFlight(config.maxInFlight),
      maxPacketBytes: config.maxPacket,
      tooLong: 'cut',
      release: (name, id) => buffer.release(name, id),
      forward: null,
      stamp: options.stamp,
      monotonicMs: options.monotonicMs ?? (() => performance.now()),
    }
    buffer.onWritable(writable => this.#setWritable(writable))
  }

  async start(): Promise<void> {
    this.#state = 'starting'
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#session?.stop()
    await this.#loop
    this.#state = 'stopped'
  }

  status(): SourceStatus {
    const { messages, deadLettered, duplicates } = this.#shared.intake
    return { state: this.#state, detail: this.#detail, messages, deadLettered, duplicates }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const { config, log, retry = defaultRetry } = this.#options
    for (let attempt = 0; !signal.aborted; attempt++) {
      const startedMs = performance.now()
      try {
        await this.#listen()
      } catch (error) {
        if (signal.aborted) return
        // What lasted is a new trouble, not the old one again.
        if (performance.now() - startedMs > retry.capMs) attempt = 0
        if (attempt === 0) log.warn({ broker: config.name, error: messageOf(error) }, 'no broker; trying on')
        this.#state = 'waiting'
        this.#detail = `${config.url}: ${messageOf(error)}`
      }
      await pause(fullJitterMs(retry, attempt), signal).catch(() => undefined)
    }
  }

  /** Throws when there is no connection, or none any more. */
  async #listen(): Promise<void> {
    const { config, log } = this.#options
    if (!this.#writable) throw new TributaryError('storage', 'the buffer cannot commit')
    const socket = openSocket(parseBrokerAddress(config.url), config.caFile)
    const session = new BrokerSession(socket, this.#shared, {
      clientId: brokerClientId(config),
      username: config.username,
      password: await readPassword(config.passwordFile),
      topics: config.topics,
      qos: config.qos as 0 | 1 | 2,
      keepAliveMs: config.keepAlive,
      handshakeMs,
    })
    this.#session = session
    try {
      await session.ready
      this.#state = 'running'
      this.#detail = `${config.url} ${config.topics.join(', ')}`
      log.info({ broker: config.name }, 'subscribed')
      throw new TributaryError('unavailable', await session.closed)
    } finally {
      this.#session = null
    }
  }

  #setWritable(writable: boolean): void {
    this.#writable = writable
    if (!writable) this.#session?.close('the buffer cannot commit')
  }
}

/** The session's name at the broker. It has to stay the same, and no other client may have it. */
function brokerClientId({ clientId, name }: BrokerConfig): string {
  return clientId ?? `tributary-${hostname()}-${name}`
}

async function readPassword(file: string | null): Promise<string | null> {
  if (file === null) return null
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (cause) {
    throw new TributaryError('config', `password_file ${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}
