/**
 * A hub from its configuration: every stage, in the order in which a reading passes them.
 *
 *   http → ingest → event log → store, detect → database
 *
 * Beside them, for what is stored: rollups, merges, retention (of sessions that are over, too).
 * Started from the back, stopped from the front: no more requests, then no more consuming, then the log, and Postgres last.
 */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import { ensureAdminKey } from './auth/admin-key.ts'
import { ApiKeys } from './auth/api-keys.ts'
import { loadHubKey } from './auth/hub-key.ts'
import { deleteEndedSessions, Sessions } from './auth/sessions.ts'
import type { HubConfig } from './config/hub-config.ts'
import type { SabotageName } from './config/sabotage.ts'
import { type Database, openDatabase } from './database/database.ts'
import { databaseUrl } from './database/database-url.ts'
import { DetectEffect } from './detect/detect-effect.ts'
import { followAgentChanges } from './devices/agent-changes.ts'
import { AgentDirectory } from './devices/agent-directory.ts'
import { createApp } from './http/app.ts'
import { LiveFeed } from './http/live/live-feed.ts'
import { type ConsumerCounts, consumerCountNames, hubMetrics } from './http/metrics.ts'
import { listen } from './http/server.ts'
import type { Readiness } from './http/services.ts'
import { InFlight } from './ingest/in-flight.ts'
import { Ingest } from './ingest/ingest.ts'
import { Nonces } from './ingest/nonces.ts'
import { OpenRecalls } from './ingest/open-recalls.ts'
import { RecentBatches } from './ingest/recent-batches.ts'
import { SeriesBudgets } from './ingest/series-budgets.ts'
import { SettledFloors } from './ingest/settled-floors.ts'
import { UntoldConflicts } from './ingest/untold-conflicts.ts'
import { type Conflict, deleteOldConflicts, recordConflicts } from './log/conflicts.ts'
import type { Effect } from './log/effect.ts'
import { type EventLog, type LogLag, topics } from './log/event-log.ts'
import { sabotages as effectSabotages, runEffect } from './log/exactly-once.ts'
import { readPassword } from './log/kafka-client.ts'
import { KafkaLog } from './log/kafka-log.ts'
import { PostgresLog } from './log/postgres-log.ts'
import { refuseUndrained } from './log/undrained.ts'
import { readFleetBooks } from './query/read-fleet-books.ts'
import { DiskGuard } from './store/disk-guard.ts'
import { runMerges } from './store/merge-segments.ts'
import { applyRetention } from './store/retention.ts'
import { runRollups } from './store/rollups.ts'
import { StoreEffect } from './store/store-effect.ts'

/** Requests under way at a stop are waited for this long, ms. */
const requestGraceMs = 8000

const retentionEveryMs = 3_600_000
const dayMs = 86_400_000

export interface HubOptions {
  readonly config: HubConfig
  readonly logger: Logger
  /** The admin key was lost: make a new one. */
  readonly renewAdminKey?: boolean
  /** Open already; stays the caller's. Without it, the one of the configuration. */
  readonly database?: Database
  readonly sabotage?: ReadonlySet<SabotageName>
  /** Ends a start that is under way: it throws `aborted` then. A hub that has started is stopped by `stop`. */
  readonly signal?: AbortSignal
  /** The hub cannot go on: stop it. */
  readonly onFailed?: (error: TributaryError) => void
}

export interface Hub {
  readonly url: string
  /** Only at the start that made it. */
  readonly adminKey: string | null
  readonly adminKeyFile: string | null
  stop(): Promise<void>
}

export async function startHub(options: HubOptions): Promise<Hub> {
  const { config, logger, sabotage = new Set() } = options
  const dataDir = prepareDataDir(config.dataDir)
  /** How to stop what was started, in the order of starting. */
  const started: (() => Promise<unknown>)[] = []
  const stop = () => stopAll(started, logger)
  try {
    const database = options.database ?? (await openHubDatabase(options, dataDir))
    if (options.database === undefined) started.push(() => database.close())
    if (options.signal?.aborted) throw new TributaryError('aborted', 'stopped while it started')
    const { pool } = database
    const adminKey = await ensureAdminKey(database, dataDir, options.renewAdminKey)
    const hubKey = loadHubKey(config.hubKeyFile ?? join(dataDir, 'hub-key.pem'))

    const log = await openLog(config, database, logger)
    started.push(() => log.close())

    const diskGuard = new DiskGuard({
      path: database.embedded === null ? null : dataDir,
      minFreeBytes: config.storage.minFree,
    })
    const store = new StoreEffect({ database, diskGuard })
    const detect = new DetectEffect({ database, log, logger })
    started.push(() => detect.close())
    const consumers = new Consumers({ log, database, logger, sabotage })
    consumers.start(store)
    consumers.start(detect)
    started.push(() => consumers.stop())
    const upkeep = startUpkeep(database, config, logger)
    started.push(upkeep)

    const agents = new AgentDirectory(pool)
    const following = new AbortController()
    const followed = followAgentChanges(database.connectionString, agents, following.signal)
    started.push(() => {
      following.abort()
      return followed
    })

    const ingest = new Ingest({
      log,
      agents,
      budgets: new SeriesBudgets(pool, config.ingest.maxSeriesPerAgent),
      recent: new RecentBatches(pool, { noConflictCheck: sabotage.has('no-conflict-check') }),
      settled: new SettledFloors(pool),
      recalls: new OpenRecalls(pool),
      untold: new UntoldConflicts(pool),
      onConflict: async ({ agentNo, epoch, seq }, digest, readings) => {
        const fresh = await recordConflicts(pool, 'ingest', [{ agentNo, epoch, seq, digest, readings }])
        for (const conflict of fresh) warnOfConflict(logger, conflict)
      },
      nonces: new Nonces(),
      inFlight: new InFlight(config.ingest.maxInFlight),
      maxCredits: config.ingest.maxCredits,
      appendTimeoutMs: config.ingest.appendTimeout,
      checkRoom: () => diskGuard.check(),
      ackBeforeCommit: sabotage.has('ack-before-commit'),
    })

    const metrics = hubMetrics(ingest, consumers, () => readFleetBooks(pool))
    const { version } = packageJson
    const live = new LiveFeed({ pool, version, logger, now: Date.now })
    const app = createApp(
      {
        version,
        database,
        ingest,
        live,
        agents,
        hubKey,
        apiKeys: new ApiKeys(pool),
        sessions: new Sessions(database),
        servesHttps: config.listen.tls !== null,
        keyOverlapS: config.enrollment.keyOverlap / 1000,
        readiness: async () => readiness(await checkDatabase(database), consumers.states()),
        metrics: metrics.registry,
        logger,
        now: Date.now,
      },
      metrics.finished,
    )
    const server = await listen(app, config.listen)
    started.push(() => server.close(requestGraceMs))
    // Streams never end by themselves: the server would wait for them.
    started.push(() => live.close())
    warnAboutClearText(config, server.url, logger)
    return { url: server.url, adminKey: adminKey.created, adminKeyFile: adminKey.file, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openLog({ eventLog, kafka }: HubConfig, database: Database, logger: Logger): Promise<EventLog> {
  const onError = (err: unknown) => logger.warn({ err }, 'event log: trying again')
  if (kafka === null) {
    const { partitions, maxBytes, retain } = eventLog
    return await PostgresLog.open(database, { partitions, maxBytes, retainMs: retain, onError })
  }
  await refuseUndrained(database)
  const { brokers, sasl, tls, topicPrefix, partitions, replication, retain, maxPending } = kafka
  if (tls === null && !brokers.every(isLoopback)) logger.warn({ brokers }, 'Kafka off loopback without kafka.tls')
  return await KafkaLog.open({
    brokers,
    tls,
    sasl: sasl && { ...sasl, password: readPassword(sasl.passwordFile) },
    prefix: topicPrefix,
    partitions,
    replication,
    retainMs: retain,
    maxPendingBytes: maxPending,
    onError,
    onWarning: message => logger.warn({ kafka: message }, 'Kafka client'),
  })
}

interface ConsumerParts {
  readonly log: EventLog
  readonly database: Database
  readonly logger: Logger
  readonly sabotage: ReadonlySet<SabotageName>
}

/** The consumers of the event log. One that stops loudly stays stopped, is named by `/readyz`, and harms no other. */
class Consumers {
  readonly #parts: ConsumerParts
  readonly #stopping = new AbortController()
  /** Group → `ok`, or why it stopped. */
  readonly #states = new Map<string, string>()
  readonly #counts = new Map<string, ConsumerCounts>()
  readonly #running: Promise<void>[] = []

  constructor(parts: ConsumerParts) {
    this.#parts = parts
  }

  start(effect: Effect): void {
    this.#states.set(effect.group, 'ok')
    this.#counts.set(effect.group, { batches: 0, readings: 0, duplicates: 0, conflicts: 0, poisoned: 0, lost: 0 })
    this.#running.push(this.#run(effect))
  }

  states(): ReadonlyMap<string, string> {
    return this.#states
  }

  counts(): ReadonlyMap<string, ConsumerCounts> {
    return this.#counts
  }

  async lag(): Promise<ReadonlyMap<string, readonly LogLag[]>> {
    const groups = [...this.#states.keys()]
    const lags = await Promise.allSettled(groups.map(group => this.#parts.log.lag(topics.batches, group)))
    // A log that does not answer has none to tell.
    return new Map(lags.flatMap((lag, i) => (lag.status === 'fulfilled' ? [[groups[i]!, lag.value] as const] : [])))
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#running)
  }

  async #run(effect: Effect): Promise<void> {
    const { log, database, logger, sabotage } = this.#parts
    try {
      await runEffect({
        log,
        database,
        effect,
        signal: this.#stopping.signal,
        sabotage: effectSabotages.find(name => sabotage.has(name)),
        onApplied: applied => {
          const counts = this.#counts.get(effect.group)!
          for (const name of consumerCountNames) counts[name] += applied[name]
        },
        onConflict: conflict => warnOfConflict(logger, conflict),
        onRewind: partition =>
          logger.warn({ group: effect.group, partition }, 'the event log is another one: reading it again'),
      })
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      this.#states.set(effect.group, `stopped: ${messageOf(error)}`)
      logger.error({ err: error, group: effect.group }, 'consumer stopped; the rest of the hub goes on')
    }
  }
}

function warnOfConflict(logger: Logger, { agentNo, epoch, seq, readings }: Conflict): void {
  const text = 'a batch has the identity of another one; is this gateway cloned, or restored from an image?'
  logger.warn({ agentNo, epoch, seq, readings }, text)
}

/** Rollups, merges and retention, until the function that it returns is called. What fails is noted and tried again. */
function startUpkeep(database: Database, config: HubConfig, logger: Logger): () => Promise<unknown> {
  const stopping = new AbortController()
  const { signal } = stopping
  const onError = (err: unknown) => logger.warn({ err }, 'upkeep of what is stored: trying again')
  const running = [
    runRollups({ database, signal, onError }),
    runMerges({ database, signal, onError }),
    runRetention(database, config, signal, onError),
  ]
  return () => {
    stopping.abort()
    return Promise.all(running)
  }
}

async function runRetention(
  database: Database,
  { storage }: HubConfig,
  signal: AbortSignal,
  onError: (error: unknown) => void,
) {
  const rules = storage.rules.map(({ metric, retain }) => ({ metric, days: retain / dayMs }))
  while (!signal.aborted) {
    try {
      await deleteEndedSessions(database.pool)
      await deleteOldConflicts(database.pool)
      await applyRetention(database, { rules, days: storage.retain / dayMs, rollupDays: storage.retainMinutes / dayMs })
    } catch (error) {
      onError(error)
    }
    await sleep(retentionEveryMs, undefined, { signal }).catch(() => undefined)
  }
}

/** The data folder, made if it is missing; throws what to do when it cannot be used. */
function prepareDataDir(path: string): string {
  const dataDir = resolve(path)
  try {
    makeFolder(dataDir)
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    return dataDir
  } catch (cause) {
    throw new TributaryError('storage', `the data folder ${dataDir} cannot be used: ${messageOf(cause)}`, {
      cause,
      hint: 'Name one that this account may write to: --data, data_dir or TRIBUTARY_DATA_DIR',
    })
  }
}

/** `mkdirSync` with `recursive` never returns below /proc, where making a folder fails with ENOENT although its parent is there. */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  if (!existsSync(dirname(path))) makeFolder(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

function openHubDatabase({ config, logger, signal, onFailed }: HubOptions, dataDir: string): Promise<Database> {
  const { url, passwordFile, connections, embeddedPort, embeddedSharedBuffers } = config.database
  // Not the error itself: it carries the whole client.
  const onConnectionLost = (error: Error) => logger.warn({ error: error.message }, 'a database connection broke')
  const pool = { connections, onConnectionLost }
  if (url !== null) return openDatabase({ ...pool, url: databaseUrl(url, passwordFile) })
  if (passwordFile !== null) {
    throw new TributaryError('config', 'database.password_file is given, but database.url is not', {
      hint: 'Set database.url (DATABASE_URL); the hub makes the password of its own Postgres itself',
    })
  }
  return openDatabase({
    ...pool,
    dataDir,
    port: embeddedPort,
    sharedBuffersMb: Math.round(embeddedSharedBuffers / 1024 ** 2),
    report: step => logger.info(step),
    ...(signal && { signal }),
    ...(onFailed && { onFailed }),
  })
}

async function checkDatabase(database: Database): Promise<string> {
  try {
    await database.pool.query('select 1')
    return 'ok'
  } catch (error) {
    return messageOf(error)
  }
}

function readiness(databaseState: string, consumers: ReadonlyMap<string, string>): Readiness {
  const checks: Record<string, string> = { database: databaseState }
  for (const [group, state] of consumers) checks[`consumer ${group}`] = state
  return { ready: Object.values(checks).every(state => state === 'ok'), checks }
}

function warnAboutClearText({ listen: { host, tls } }: HubConfig, url: string, logger: Logger): void {
  if (tls !== null || isLoopback(host)) return
  logger.warn({ url }, 'serving plain http off loopback: put HTTPS in front, or set listen.tls')
}

/** Of a host, with or without its port. */
function isLoopback(host: string): boolean {
  return /^(localhost|127\.|::1$|\[::1\])/.test(host)
}

/** Every step, also after one that fails. */
async function stopAll(started: (() => Promise<unknown>)[], logger: Logger): Promise<void> {
  for (const stop of started.splice(0).reverse()) {
    try {
      await stop()
    } catch (err) {
      logger.error({ err }, 'stopping a part failed; going on with the rest')
    }
  }
}
