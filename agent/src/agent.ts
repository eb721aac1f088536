/**
 * The agent: every stage, in the order in which a reading passes them.
 *
 *   sources (mqtt, brokers, serial) → decode → buffer → uplink → hub
 *                              beside them: identity, health
 *
 * It starts from the end, so that nothing is heard before it can be kept, and stops from the beginning, so that everything heard
 * is kept. It runs without an enrolment too: readings are kept, and sent once `tributary-agent enroll` has stored an identity.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Logger } from 'pino'
import type { Buffer as ReadingBuffer } from './buffer/buffer.ts'
import { bufferConfig } from './buffer/buffer-config.ts'
import { openBuffer } from './buffer/sqlite-buffer.ts'
import type { AgentConfig } from './config/agent-config.ts'
import { makeDataFolder } from './config/data-folder.ts'
import type { SabotageName } from './config/sabotage.ts'
import { bufferSlice, trustOf, uplinkSlice } from './config/stage-configs.ts'
import { createDecoder, type Decoder } from './decode/decoder.ts'
import type { AgentStatus, NamedSourceStatus } from './health/agent-status.ts'
import { createDeadLetters } from './health/dead-letters.ts'
import { deviceBytesWritten } from './health/device-writes.ts'
import { HealthServer } from './health/health-server.ts'
import { createMetrics, type Metrics, sampleEvery } from './health/metrics.ts'
import { parseProxy } from './identity/hub-proxy.ts'
import { parseHubUrl } from './identity/hub-url.ts'
import { type Identity, loadIdentity } from './identity/identity.ts'
import { parseBrokerAddress } from './sources/broker/broker-address.ts'
import { BrokerSource } from './sources/broker/broker-source.ts'
import { Credentials, parsePasswordFile } from './sources/mqtt/credentials.ts'
import { MqttSource } from './sources/mqtt/mqtt-source.ts'
import { SerialSource } from './sources/serial/serial-source.ts'
import type { Accept } from './sources/source.ts'
import { AgentClock, type Stamp } from './time/agent-clock.ts'
import { BootClock } from './time/boot-clock.ts'
import { reportLearned } from './time/report-learned.ts'
import { WallWatch } from './time/wall-watch.ts'
import { Uplink } from './uplink/uplink.ts'
import { uplinkConfig } from './uplink/uplink-config.ts'

/** While not enrolled, how often to look whether it has been done. */
const enrolmentLookMs = 2000

/** What is broken in the buffer itself; the others are the sources' matter. */
const bufferSabotages = ['fsync-off', 'no-ledger', 'keep-epoch'] as const

export interface AgentOptions {
  readonly config: AgentConfig
  readonly version: string
  readonly log: Logger
  readonly sabotage: ReadonlySet<SabotageName>
}

/** Where a running agent is found: `running.json` in its data folder. */
export interface RunFile {
  readonly pid: number
  readonly health: { readonly host: string; readonly port: number } | null
}

export function runFilePath(dataDir: string): string {
  return join(dataDir, 'running.json')
}

export class Agent {
  readonly #options: AgentOptions
  readonly #startedAt = new Date().toISOString()
  readonly #metrics: Metrics
  /** What to undo at the stop, last first. */
  readonly #undo: (() => Promise<unknown>)[] = []
  readonly #clock: AgentClock
  #identity: Identity | null = null
  #buffer: ReadingBuffer | null = null
  /** Readings accepted before this start. */
  #acceptedBefore = 0
  #uplink: Uplink | null = null
  #health: HealthServer | null = null
  #mqtt: MqttSource | null = null
  #serial: readonly SerialSource[] = []
  #brokers: readonly BrokerSource[] = []

  constructor(options: AgentOptions) {
    this.#options = options
    this.#clock = new AgentClock(new BootClock(), trustOf(options.config))
    this.#metrics = createMetrics(() => this.status())
  }

  /** Resolves when sensors are heard. Throws `config`, `in-use`, `storage`, `corrupt`; nothing runs on then. */
  async start(): Promise<void> {
    const { config, sabotage, log } = this.#options
    for (const name of sabotage)
      log.warn({ sabotage: name }, 'SABOTAGE: a promise is broken on purpose; never run so outside of a proof')
    try {
      await makeDataFolder(config.dataDir)
      this.#identity = await loadIdentity(config.dataDir)
      const buffer = await this.#startBuffer()
      this.#startClock()
      const decoder = createDecoder({ routes: config.decode.routes, maxPayloadBytes: config.mqtt.maxPayload })
      if (this.#identity === null) this.#awaitEnrolment(buffer)
      else this.#startUplink(buffer, this.#identity)
      await this.#startHealth(buffer, decoder)
      await this.#startSources(buffer, decoder)
      await this.#writeRunFile()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Stop hearing, finish what was heard, close. */
  async stop(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        await undo()
      } catch (error) {
        this.#options.log.error({ error: messageOf(error) }, 'a stage did not stop cleanly')
      }
    }
  }

  async status(): Promise<AgentStatus> {
    const { config, version, sabotage } = this.#options
    if (this.#buffer === null) throw new TributaryError('unavailable', 'the agent is starting')
    const identity = this.#identity
    const buffer = await this.#buffer.stats()
    return {
      name: config.name ?? hostname(),
      version,
      pid: process.pid,
      startedAt: this.#startedAt,
      enrolment:
        identity === null
          ? null
          : { agentId: identity.agentId, site: identity.site, hub: config.hub.url ?? identity.hub },
      sources: this.#sourceStatus(),
      buffer,
      clock: this.#clock.status(),
      uplink: this.#uplink?.status() ?? null,
      rssBytes: process.memoryUsage.rss(),
      deviceWrites: { bytes: deviceBytesWritten(), readings: buffer.counters.accepted - this.#acceptedBefore },
      sabotage: [...sabotage],
    }
  }

  get mqttPort(): number | null {
    return this.#mqtt?.port ?? null
  }

  get healthPort(): number | null {
    return this.#health?.port ?? null
  }

  async #startBuffer(): Promise<ReadingBuffer> {
    const { config, sabotage, log } = this.#options
    const buffer = await openBuffer({
      ...bufferSlice(config),
      clock: this.#clock,
      agentId: () => this.#identity?.agentId ?? null,
      notify: notice => log.warn(notice),
      sabotage: bufferSabotages.find(name => sabotage.has(name)) ?? null,
    })
    this.#buffer = buffer
    this.#acceptedBefore = (await buffer.stats()).counters.accepted
    this.#undo.push(() => buffer.close())
    return buffer
  }

  #startClock(): void {
    const { log } = this.#options
    const watch = new WallWatch({
      clock: this.#clock,
      onLearned: (source, learned) => reportLearned(log, this.#clock, source, learned),
      onStep: byUs => {
        log.warn({ byMs: Math.round(byUs / 1000) }, "this machine's clock was set; readings are not stamped by it")
        this.#uplink?.askTime()
      },
    })
    this.#undo.push(async () => watch.stop())
    watch.start()
  }

  #startUplink(buffer: ReadingBuffer, identity: Identity): void {
    const { config, log, sabotage } = this.#options
    const uplink = new Uplink({
      buffer,
      identity,
      time: this.#clock,
      config: uplinkConfig(uplinkSlice(config)),
      log: log.child({ stage: 'uplink' }),
      ignoreSettled: sabotage.has('ignore-settled'),
    })
    uplink.start()
    this.#uplink = uplink
    this.#undo.push(() => uplink.stop())
    log.info({ agentId: identity.agentId, site: identity.site, hub: config.hub.url ?? identity.hub }, 'enrolled')
  }

  #awaitEnrolment(buffer: ReadingBuffer): void {
    const { config, log } = this.#options
    log.warn('not enrolled: readings are kept until `tributary-agent enroll` has been run')
    let looking = false
    const timer = setInterval(async () => {
      if (looking) return
      looking = true
      try {
        const identity = await loadIdentity(config.dataDir)
        if (identity === null || this.#uplink !== null) return
        clearInterval(timer)
        this.#identity = identity
        this.#startUplink(buffer, identity)
      } catch (error) {
        log.error({ error: messageOf(error) }, 'the identity cannot be read')
      } finally {
        looking = false
      }
    }, enrolmentLookMs)
    this.#undo.push(async () => clearInterval(timer))
  }

  async #startHealth(buffer: ReadingBuffer, decoder: Decoder): Promise<void> {
    const { config } = this.#options
    if (!config.health.enabled) return
    const deviceOf = (source: string) => config.serial.find(({ name }) => `serial:${name}` === source)?.device ?? null
    const health = new HealthServer({
      config: config.health,
      status: () => this.status(),
      metrics: this.#metrics,
      deadLetters: createDeadLetters(buffer, decoder, deviceOf),
    })
    await health.start()
    this.#health = health
    this.#undo.push(() => health.stop())
  }

  async #startSources(buffer: ReadingBuffer, decoder: Decoder): Promise<void> {
    const { config, log, sabotage } = this.#options
    const shared = {
      accept: this.#accept(buffer),
      buffer,
      decoder,
      stamp: sabotage.has('wall-stamps') ? wallStamp : () => this.#clock.stamp(),
      sabotage: { ackBeforeCommit: sabotage.has('ack-before-commit'), noDuplicateCheck: sabotage.has('no-dup-check') },
    }
    this.#serial = config.serial.map(
      port => new SerialSource({ ...shared, config: port, log: log.child({ stage: `serial:${port.name}` }) }),
    )
    for (const serial of this.#serial) {
      this.#undo.push(() => serial.stop())
      await serial.start()
    }
    const { maxReceipts } = bufferConfig(bufferSlice(config))
    this.#brokers = config.brokers.map(
      broker =>
        new BrokerSource({
          ...shared,
          config: broker,
          maxPayloadBytes: config.mqtt.maxPayload,
          maxReceipts,
          log: log.child({ stage: `broker:${broker.name}` }),
        }),
    )
    for (const broker of this.#brokers) {
      this.#undo.push(() => broker.stop())
      await broker.start()
    }
    if (!config.mqtt.enabled) return
    const users = await mqttUsers(config)
    const mqtt = new MqttSource({
      ...shared,
      config: config.mqtt,
      users,
      maxReceipts,
      // What the others hear goes on while somebody else has the port; an agent that would hear nothing says so at once.
      refuseIfTaken: this.#serial.length + this.#brokers.length === 0,
      log: log.child({ stage: 'mqtt' }),
    })
    this.#mqtt = mqtt
    this.#undo.push(() => mqtt.stop())
    await mqtt.start()
  }

  /** The buffer's own, timed, and waking the uplink. */
  #accept(buffer: ReadingBuffer): Accept {
    let count = 0
    return (message, done) => {
      const startMs = count++ % sampleEvery === 0 ? performance.now() : null
      buffer.accept(message, error => {
        if (startMs !== null) this.#metrics.observeCommit((performance.now() - startMs) / 1000)
        if (error === null) this.#uplink?.wake(message.readings.length)
        done(error)
      })
    }
  }

  #sourceStatus(): NamedSourceStatus[] {
    const serial = this.#serial.map(source => ({ name: source.name, ...source.status(), serial: source.stats() }))
    const others = [...this.#brokers.map(source => ({ name: source.name, ...source.status() })), ...serial]
    if (this.#mqtt === null) return others
    return [
      { name: this.#mqtt.name, ...this.#mqtt.status(), port: this.#mqtt.port, mqtt: this.#mqtt.stats() },
      ...others,
    ]
  }

  async #writeRunFile(): Promise<void> {
    const { config } = this.#options
    const path = runFilePath(config.dataDir)
    const health = this.#health === null ? null : { host: config.health.host, port: this.#health.port }
    await writeFile(path, `${JSON.stringify({ pid: process.pid, health } satisfies RunFile)}\n`, { mode: 0o600 })
    this.#undo.push(() => rm(path, { force: true }))
  }
}

/** Sabotage: what the agent's clock is there to avoid. */
function wallStamp(): Stamp {
  return { tsUs: Date.now() * 1000, placed: true }
}

/**
 * All that can be known to be wrong with a configuration without starting anything.
 *
 * @throws config
 */
export async function checkConfig(config: AgentConfig): Promise<void> {
  createDecoder({ routes: config.decode.routes, maxPayloadBytes: config.mqtt.maxPayload })
  bufferConfig(bufferSlice(config))
  uplinkConfig(uplinkSlice(config))
  if (config.hub.proxy !== null && config.hub.proxy !== 'none') parseProxy(config.hub.proxy, 'hub.proxy')
  if (config.hub.url !== null) parseHubUrl(config.hub.url, config.hub.insecure)
  const credentials = new Credentials(await mqttUsers(config))
  for (const { url } of config.brokers) parseBrokerAddress(url)
  if (config.mqtt.enabled) MqttSource.checkAddress(config.mqtt, credentials)
}

async function mqttUsers({ mqtt }: AgentConfig): Promise<{ readonly name: string; readonly passwordHash: string }[]> {
  if (mqtt.passwordFile === null) return [...mqtt.users]
  try {
    const users = parsePasswordFile(await readFile(mqtt.passwordFile, 'utf8'), mqtt.passwordFile)
    if (users.length > 0) return [...mqtt.users, ...users]
    throw new TributaryError(
      'config',
      `mqtt.password_file ${mqtt.passwordFile} names no user: everyone could connect`,
      {
        hint: 'Add a line name:hash (tributary-agent password hash), or remove the key.',
      },
    )
  } catch (cause) {
    if (cause instanceof TributaryError) throw cause
    throw new TributaryError(
      'config',
      `mqtt.password_file ${mqtt.passwordFile} cannot be read (${(cause as NodeJS.ErrnoException).code})`,
      { cause },
    )
  }
}
