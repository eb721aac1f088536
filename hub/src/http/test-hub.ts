/** A hub for tests: real database, real ingest, no socket. The event log is in memory unless a test brings its own. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Batch, noCounters } from '@tributary/shared/batch/batch'
import { encodeBatch } from '@tributary/shared/batch/codec'
import { type EnrollAnswer, enrollProof, fields, formatBatchField, mediaTypes, paths } from '@tributary/shared/protocol'
import type { Value } from '@tributary/shared/reading'
import { makeNonce, signRequest } from '@tributary/shared/signature'
import { publicKeyText } from '@tributary/shared/signature-keys'
import { type Logger, pino } from 'pino'
import { ensureAdminKey } from '../auth/admin-key.ts'
import { ApiKeys } from '../auth/api-keys.ts'
import { loadHubKey } from '../auth/hub-key.ts'
import { Sessions } from '../auth/sessions.ts'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { AgentDirectory } from '../devices/agent-directory.ts'
import { createToken } from '../devices/tokens.ts'
import { InFlight } from '../ingest/in-flight.ts'
import { Ingest, type IngestParts } from '../ingest/ingest.ts'
import { Nonces } from '../ingest/nonces.ts'
import { OpenRecalls } from '../ingest/open-recalls.ts'
import { RecentBatches } from '../ingest/recent-batches.ts'
import { SeriesBudgets } from '../ingest/series-budgets.ts'
import { SettledFloors } from '../ingest/settled-floors.ts'
import { UntoldConflicts } from '../ingest/untold-conflicts.ts'
import { recordConflicts } from '../log/conflicts.ts'
import { decodeEnvelope, type Envelope } from '../log/envelope.ts'
import type { EventLog } from '../log/event-log.ts'
import { readFleetBooks } from '../query/read-fleet-books.ts'
import { createApp } from './app.ts'
import { LiveFeed, type LiveFeedOptions } from './live/live-feed.ts'
import { hubMetrics } from './metrics.ts'
import type { HubApp, HubServices } from './services.ts'

export interface TestHubOptions {
  readonly now?: () => number
  readonly parts?: Partial<IngestParts>
  readonly maxSeriesPerAgent?: number
  readonly servesHttps?: boolean
  readonly logger?: Logger
  readonly live?: Partial<LiveFeedOptions>
}

export class TestHub implements AsyncDisposable {
  readonly app: HubApp
  readonly services: HubServices
  readonly database: Database
  readonly adminKey: string
  /** What reached the in-memory log. */
  readonly appended: Envelope[] = []
  /** Set: the log refuses with it. */
  logFailure: Error | null = null
  readonly #dataDir: string

  private constructor(database: Database, dataDir: string, adminKey: string, options: TestHubOptions) {
    this.database = database
    const { now = Date.now, parts = {} } = options
    this.#dataDir = dataDir
    this.adminKey = adminKey
    const { pool } = database
    const agents = new AgentDirectory(pool, now)
    const ingest = new Ingest({
      log: this.#memoryLog(),
      agents,
      budgets: new SeriesBudgets(pool, options.maxSeriesPerAgent),
      recent: new RecentBatches(pool),
      settled: new SettledFloors(pool, now),
      recalls: new OpenRecalls(pool, now),
      untold: new UntoldConflicts(pool, now),
      onConflict: async ({ agentNo, epoch, seq }, digest, readings) =>
        void (await recordConflicts(pool, 'ingest', [{ agentNo, epoch, seq, digest, readings }])),
      nonces: new Nonces(),
      inFlight: new InFlight(64 * 1024 * 1024),
      maxCredits: 8,
      appendTimeoutMs: 5000,
      now,
      ...parts,
    })
    const logger = options.logger ?? pino({ level: 'silent' })
    const version = '1.2.3'
    const consumers = { lag: async () => new Map(), counts: () => new Map() }
    const metrics = hubMetrics(ingest, consumers, () => readFleetBooks(pool))
    this.services = {
      version,
      database,
      ingest,
      live: new LiveFeed({ pool, version, logger, now, tickMs: 20, ...options.live }),
      agents,
      apiKeys: new ApiKeys(pool, now),
      sessions: new Sessions(database, now),
      servesHttps: options.servesHttps ?? false,
      hubKey: loadHubKey(join(dataDir, 'hub-key.pem')),
      keyOverlapS: 86_400,
      readiness: async () => ({ ready: true, checks: { database: 'ok' } }),
      metrics: metrics.registry,
      logger,
      now,
    }
    this.app = createApp(this.services, metrics.finished)
  }

  static async start(options: TestHubOptions = {}): Promise<TestHub> {
    const database = await testDatabase()
    const dataDir = mkdtempSync(join(tmpdir(), 'tributary-http-'))
    const { created } = await ensureAdminKey(database, dataDir)
    return new TestHub(database, dataDir, created ?? '', options)
  }

  /** A request of people, with the admin key. */
  get(path: string, init: RequestInit = {}): Promise<Response> {
    return this.send(path, { ...init, headers: { authorization: `Bearer ${this.adminKey}`, ...init.headers } })
  }

  async send(path: string, init: RequestInit = {}): Promise<Response> {
    return this.app.request(path, init)
  }

  /** Opens a session with the admin key; the `cookie` header of the browser that did. */
  async signIn(): Promise<string> {
    const answer = await this.send('/v1/session', {
      method: 'POST',
      headers: { 'content-type': mediaTypes.json },
      body: JSON.stringify({ key: this.adminKey }),
    })
    return answer.headers.get('set-cookie')?.split(';')[0] ?? ''
  }

  async token(options: { uses?: number; expiresInS?: number } = {}): Promise<string> {
    const made = await createToken(this.database.pool, {
      site: 'mill',
      labels: {},
      uses: 1,
      expiresInS: 60,
      ...options,
    })
    return made.token
  }

  enroll(token: string, key: KeyObject): Promise<Response> {
    return sendEnrolment((path, init) => this.send(path, init), token, key)
  }

  /** A gateway that is enrolled and can sign. */
  async gateway(): Promise<TestGateway> {
    return enrolledGateway((path, init) => this.send(path, init), await this.token())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.services.live.close()
    await this.database.close()
    rmSync(this.#dataDir, { recursive: true })
  }

  #memoryLog(): EventLog {
    return {
      append: async (_topic, _key, bytes) => {
        if (this.logFailure !== null) throw this.logFailure
        this.appended.push(decodeEnvelope(bytes))
        return { partition: 0, offset: BigInt(this.appended.length - 1) }
      },
      consume: async () => undefined,
      read: async () => null,
      lag: async () => [],
      close: async () => undefined,
    }
  }
}

/** Sends a request to a hub, over a socket or not. */
export type Send = (path: string, init: RequestInit) => Promise<Response>

export function sendEnrolment(send: Send, token: string, key: KeyObject): Promise<Response> {
  const publicKey = publicKeyText(key)
  const proof = sign(null, enrollProof(token, publicKey), key).toString('base64url')
  return send(paths.enroll, {
    method: 'POST',
    headers: { 'content-type': mediaTypes.json },
    body: JSON.stringify({ token, publicKey, name: 'gateway', proof }),
  })
}

/** A gateway that is enrolled and can sign. */
export async function enrolledGateway(send: Send, token: string): Promise<TestGateway> {
  const { privateKey } = generateKeyPairSync('ed25519')
  const answer = (await (await sendEnrolment(send, token, privateKey)).json()) as EnrollAnswer
  return new TestGateway(send, answer, privateKey)
}

export interface SendOptions {
  readonly createdS?: number
  readonly path?: string
  /** Signed header fields to replace. */
  readonly headers?: Record<string, string>
  /** Changes the body after it was signed. */
  readonly tamper?: (body: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>
}

export class TestGateway {
  readonly #send: Send
  readonly enrolled: EnrollAnswer
  readonly #key: KeyObject

  constructor(send: Send, enrolled: EnrollAnswer, key: KeyObject) {
    this.#send = send
    this.enrolled = enrolled
    this.#key = key
  }

  get agentId(): string {
    return this.enrolled.agentId
  }

  /** A batch of one series a value list. */
  batch(
    seq: number,
    values: readonly Value[] = [1, 2, 3],
    tsUs: readonly number[] = values.map((_, i) => Date.now() * 1000 + i),
  ): Batch {
    const numeric = values.every(value => typeof value === 'number')
    return {
      header: {
        agentId: this.agentId,
        epoch: 7,
        seq,
        bootId: '00000000-0000-4000-8000-000000000000',
        monotonicUs: 1,
        wallUs: Date.now() * 1000,
        counters: { ...noCounters, accepted: 3, stored: 3 },
        losses: [],
        recallsDone: [],
      },
      columns: [
        {
          series: { device: 'pump', metric: 'temperature', unit: 'Cel' },
          tsUs: Float64Array.from(tsUs),
          values: numeric ? Float64Array.from(values as number[]) : values,
          quality: null,
        },
      ],
      aggregates: [],
    }
  }

  sendBatch(batch: Batch, options: SendOptions = {}): Promise<Response> {
    const { epoch, seq } = batch.header
    const headers = { [fields.batch]: formatBatchField(epoch, seq), ...options.headers }
    return this.sendBody(Uint8Array.from(encodeBatch(batch)), { ...options, headers })
  }

  sendBody(body: Uint8Array<ArrayBuffer>, options: SendOptions = {}): Promise<Response> {
    const headers = {
      'content-type': mediaTypes.batch,
      [fields.lane]: 'live',
      [fields.floor]: '1',
      [fields.batch]: 'epoch=7;seq=1',
      ...options.headers,
    }
    const signed = this.#sign('POST', options.path ?? paths.batches, headers, body, options.createdS)
    return this.#send(options.path ?? paths.batches, {
      method: 'POST',
      headers: signed,
      body: options.tamper?.(body) ?? body,
    })
  }

  hello(nonce: string = makeNonce(), createdS?: number, query = ''): Promise<Response> {
    const path = paths.hello + query
    const headers = this.#sign('GET', path, { [fields.nonce]: nonce }, new Uint8Array(), createdS)
    return this.#send(path, { headers })
  }

  /** The headers of the last signed request, for checking signed answers. */
  lastSigned: Record<string, string> = {}

  #sign(method: string, path: string, headers: Record<string, string>, body: Uint8Array, createdS = Date.now() / 1000) {
    const { agentId } = this.enrolled
    this.lastSigned = {
      ...headers,
      ...signRequest({ method, path, headers, body, agentId, privateKey: this.#key, createdS }),
    }
    return this.lastSigned
  }
}
