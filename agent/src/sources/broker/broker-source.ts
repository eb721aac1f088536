/**
 * A broker that is there already, as a source: subscribe, commit, acknowledge, and come back when it is gone.
 *
 * - The session is persistent and the acknowledgement leaves after the commit: what the broker hears while the agent is down or away it
 *   keeps, as far as its own bounds go, and what it sends again is recognised (intake.ts).
 * - Many messages are under way at once, so a commit takes many of them.
 * - No broker, or one that refuses the user, is no failure of the agent: it waits, and is tried again (supervisor.ts).
 * - While the buffer cannot commit it is disconnected.
 * - Bounded: bytes in flight, packet size. The broker would send a longer message again for ever, so the rest of it is passed over: it
 *   becomes a dead letter and is acknowledged.
 */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Backoff } from '@tributary/shared/retry'
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
import { Supervisor } from '../supervisor.ts'
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
  readonly #supervisor: Supervisor
  #session: BrokerSession | null = null
  #writable = true

  constructor(options: BrokerSourceOptions) {
    const { config, accept, buffer, decoder, sabotage, maxPayloadBytes } = options
    this.name = `broker:${config.name}`
    this.#options = options
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
    this.#supervisor = new Supervisor({
      live: running => this.#listen(running),
      where: config.url,
      retry: options.retry ?? defaultRetry,
      log: options.log,
    })
    buffer.onWritable(writable => this.#setWritable(writable))
  }

  /** A broker that comes later is found later. */
  async start(): Promise<void> {
    void this.#supervisor.start()
  }

  async stop(): Promise<void> {
    const stopped = this.#supervisor.stop()
    await this.#session?.stop()
    await stopped
  }

  status(): SourceStatus {
    const { messages, deadLettered, duplicates } = this.#shared.intake
    return { ...this.#supervisor.status(), messages, deadLettered, duplicates }
  }

  /** Throws when there is no connection, or none any more. */
  async #listen(running: (detail: string) => void): Promise<void> {
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
      running(`${config.url} ${config.topics.join(', ')}`)
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
