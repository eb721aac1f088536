/**
 * What a page shows without being asked again: one poller of the database for all readers of a hub, at work while somebody listens.
 * It polls, and does not listen to the store, so that it works wherever the store runs.
 *
 * Every `tickMs` it looks for new readings of watched series and for anomalies, and sends away those whose key or session has ended;
 * every other time the overview, every fourth the agents: each sent when something in it changed. What fails is tried again at the
 * next tick; marks move only with what was found, so that nothing is skipped.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { TributaryError } from '@tributary/shared/errors'
import type { Pool } from 'pg'
import type { Logger } from 'pino'
import type { Principal } from '../../auth/api-keys.ts'
import type { Session } from '../../auth/sessions.ts'
import { stillValid } from '../../auth/still-valid.ts'
import { listAgents } from '../../query/list-agents.ts'
import { readOverview } from '../../query/read-overview.ts'
import { agentJson } from '../agent-json.ts'
import { overviewJson } from '../overview-json.ts'
import { AnomalyWatch } from './anomaly-watch.ts'
import { EventStream, eventBytes, heartbeat } from './event-stream.ts'
import { SeriesWatch } from './series-watch.ts'

export interface LiveFeedOptions {
  readonly pool: Pool
  readonly version: string
  readonly logger: Logger
  readonly now: () => number
  /** Default 500 ms. */
  readonly tickMs?: number
  /** After so many ticks the event `beat`. Default 10. */
  readonly heartbeatTicks?: number
}

export interface Reader {
  readonly principal: Principal | Session
  readonly seriesIds: readonly number[]
  /** Cut the connection: what was sent is not taken. */
  readonly cut: () => void
}

/** Of one hub. */
export const maxStreams = 200
/** For a reader that found no place, s. */
const retryAfterS = 10
const overviewTicks = 2
const agentsTicks = 4
/** Told of in the event `agents`. */
const maxAgents = 1000

interface Open extends Reader {
  readonly stream: EventStream
}

/** A document that is sent when it changed: `shown` is what a change is seen by. */
interface Document {
  readonly shown: string
  readonly bytes: Uint8Array
}

export class LiveFeed {
  readonly #options: LiveFeedOptions
  readonly #series: SeriesWatch
  readonly #anomalies: AnomalyWatch
  readonly #stopping = new AbortController()
  readonly #open = new Set<Open>()
  /** Readers that are being let in. */
  #opening = 0
  /** Resolves when the poller knows what is no news; null while it rests. */
  #begun: Promise<void> | null = null
  #running: Promise<void> = Promise.resolve()
  #overview = ''
  #agents = ''

  constructor(options: LiveFeedOptions) {
    this.#options = options
    this.#series = new SeriesWatch(options.pool, options.now)
    this.#anomalies = new AnomalyWatch(options.pool)
  }

  /** How many listen now. */
  get readers(): number {
    return this.#open.size
  }

  /** Events for this reader, from now on. Throws `unavailable` when there are `maxStreams` already, `aborted` at a stop. */
  async open(reader: Reader): Promise<ReadableStream<Uint8Array>> {
    if (this.#stopping.signal.aborted) throw new TributaryError('aborted', 'the hub is stopping', { retryAfterS })
    if (this.#open.size + this.#opening >= maxStreams) {
      throw new TributaryError('unavailable', `this hub serves ${maxStreams} streams already`, { retryAfterS })
    }
    this.#opening += 1
    try {
      await this.#begin()
      const [overview, agents] = await Promise.all([this.#readOverview(), this.#readAgents()])
      await this.#series.add(reader.seriesIds)
      if (this.#open.size === 0) [this.#overview, this.#agents] = [overview.shown, agents.shown]
      return this.#admit(reader, [overview, agents])
    } finally {
      this.#opening -= 1
    }
  }

  /** End every stream, and rest. */
  async close(): Promise<void> {
    this.#stopping.abort()
    for (const { stream } of [...this.#open]) stream.end()
    await this.#running
  }

  #admit(reader: Reader, first: readonly Document[]): ReadableStream<Uint8Array> {
    const stream = new EventStream(() => {
      if (this.#open.delete(open)) this.#series.remove(reader.seriesIds)
    })
    const open: Open = { ...reader, stream }
    this.#open.add(open)
    for (const { bytes } of first) stream.send(bytes)
    if (this.#stopping.signal.aborted) stream.end()
    return stream.body
  }

  /** The poller, from its first reader on. */
  #begin(): Promise<void> {
    this.#begun ??= this.#anomalies.begin().then(
      () => {
        this.#running = this.#run()
      },
      error => {
        this.#begun = null
        throw error
      },
    )
    return this.#begun
  }

  async #run(): Promise<void> {
    const { tickMs = 500, logger } = this.#options
    const { signal } = this.#stopping
    for (let tick = 1; this.#open.size + this.#opening > 0 && !signal.aborted; tick++) {
      await sleep(tickMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) break
      try {
        await this.#poll(tick)
      } catch (err) {
        logger.warn({ err }, 'live events: trying again')
      }
    }
    this.#begun = null
  }

  async #poll(tick: number): Promise<void> {
    await this.#dismiss()
    for (const { seriesId, bytes } of await this.#series.poll()) {
      this.#send(bytes, ({ seriesIds }) => seriesIds.includes(seriesId))
    }
    for (const bytes of await this.#anomalies.poll()) this.#send(bytes)
    if (tick % overviewTicks === 0) {
      const { shown, bytes } = await this.#readOverview()
      if (shown !== this.#overview) this.#send(bytes)
      this.#overview = shown
    }
    if (tick % agentsTicks === 0) {
      const { shown, bytes } = await this.#readAgents()
      if (shown !== this.#agents) this.#send(bytes)
      this.#agents = shown
    }
    if (tick % (this.#options.heartbeatTicks ?? 10) === 0) this.#send(heartbeat)
  }

  /** End the streams of those who would not be let in now. */
  async #dismiss(): Promise<void> {
    const open = [...this.#open]
    const isValid = await stillValid(
      this.#options.pool,
      open.map(({ principal }) => principal),
    )
    for (const { principal, stream } of open) if (!isValid(principal)) stream.end()
  }

  #send(bytes: Uint8Array, to: (reader: Open) => boolean = () => true): void {
    for (const reader of [...this.#open]) {
      if (!to(reader) || reader.stream.send(bytes)) continue
      this.#options.logger.info(
        { keyId: reader.principal.keyId },
        'a reader of live events was too slow and is cut off',
      )
      reader.stream.end()
      reader.cut()
    }
  }

  async #readOverview(): Promise<Document> {
    const { pool, version, now } = this.#options
    const nowMs = now()
    const found = await readOverview(pool, nowMs)
    return { shown: JSON.stringify(found), bytes: eventBytes('overview', overviewJson(found, version, nowMs)) }
  }

  async #readAgents(): Promise<Document> {
    const nowMs = this.#options.now()
    const items = await listAgents(this.#options.pool, { limit: maxAgents, nowMs })
    return {
      shown: JSON.stringify(items),
      bytes: eventBytes('agents', { items: items.map(row => agentJson(row, nowMs)) }),
    }
  }
}
