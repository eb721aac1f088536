/**
 * Apache Kafka in KRaft mode: one broker, or three, each broker and controller in one JVM.
 *
 * Topics are never made by accident, and never lose their leader to a replica that is behind. A lone broker has nobody who keeps
 * its records over a power cut, so it fsyncs each one; three keep a record on two before it counts.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { TributaryError } from '@tributary/shared/errors'
import { kafkajs } from '../../hub/src/log/kafkajs.ts'
import { requireProgram } from '../system/requirements.ts'
import { type DaemonOptions, findDaemon, startDaemon, stopDaemon } from './daemon.ts'
import { kafkaJars, log4jConfig } from './kafka-jars.ts'
import type { Service, ServiceStatus } from './service.ts'

export interface KafkaNodePorts {
  readonly client: number
  readonly controller: number
  /** Where clients log in over TLS; only with `secure`. */
  readonly secure?: number
  /** Where clients are told to go instead of `client`: a proxy before it. */
  readonly advertised?: number
}

export interface KafkaOptions {
  readonly folder: string
  /** One entry a broker. */
  readonly nodes: readonly KafkaNodePorts[]
  /** Listen with TLS and SCRAM-SHA-512 besides, for this user. For tests: Kafka's tool takes the password as an argument. */
  readonly secure?: KafkaSecurity
}

export interface KafkaSecurity {
  readonly username: string
  readonly password: string
  /** PEM; the key in PKCS #8. */
  readonly certificate: string
  readonly key: string
}

const heap = ['-Xms64m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:ActiveProcessorCount=2'] as const

export class KafkaService implements Service {
  readonly name = 'kafka'
  readonly programs = ['java', 'mvn']
  private readonly options: KafkaOptions

  constructor(options: KafkaOptions) {
    this.options = options
  }

  /** How many brokers a folder was made for; null when there is none. */
  static brokersOf(folder: string): number | null {
    const file = join(folder, 'brokers')
    return existsSync(file) ? Number(readFileSync(file, 'utf8')) : null
  }

  get brokers(): string[] {
    return this.options.nodes.map(({ client }) => `127.0.0.1:${client}`)
  }

  async start(report: (step: string) => void): Promise<void> {
    const { nodes } = this.options
    this.refuseOtherSize()
    const jars = await kafkaJars(report)
    for (const [index] of nodes.entries()) await this.format(jars, index)
    if (!this.status().running) report(nodes.length === 1 ? 'starting the broker' : `starting ${nodes.length} brokers`)
    await Promise.all(nodes.map((_, index) => startDaemon(this.daemon(jars, index))))
    await this.waitForAll()
  }

  async stop(): Promise<void> {
    // Controllers first would leave the last broker waiting for a quorum: all at once.
    await Promise.all(this.nodeFolders().map(folder => stopDaemon(folder)))
  }

  /** End one broker, as a crash would by default, and return when it is gone. `start` brings it back. */
  async stopNode(index: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await stopDaemon(this.nodeFolder(index), signal)
  }

  status(): ServiceStatus {
    const { folder, nodes } = this.options
    const pids = this.nodeFolders()
      .map(findDaemon)
      .filter(pid => pid !== null)
    const ports = nodes.flatMap(({ client, controller }, index) => [
      [`broker ${index + 1}`, client] as const,
      [`controller ${index + 1}`, controller] as const,
    ])
    return {
      name: this.name,
      running: pids.length === nodes.length,
      pids,
      ports: Object.fromEntries(ports),
      folder,
      address: this.brokers.join(','),
    }
  }

  private nodeFolder(index: number): string {
    return join(this.options.folder, `node-${index + 1}`)
  }

  private nodeFolders(): string[] {
    return this.options.nodes.map((_, index) => this.nodeFolder(index))
  }

  /** What was made for one broker cannot be started as three, nor the other way round. */
  private refuseOtherSize(): void {
    const { folder, nodes } = this.options
    const made = KafkaService.brokersOf(folder)
    if (made === nodes.length) return
    mkdirSync(folder, { recursive: true })
    if (made === null) {
      writeFileSync(join(folder, 'brokers'), String(nodes.length))
      return
    }
    throw new TributaryError('conflict', `${folder} was made for ${made} broker(s), not for ${nodes.length}`, {
      hint: 'Start it as it was made (--brokers), or delete its data first: npm run services -- reset kafka',
    })
  }

  /** Give the node its id and settings; a node that has them keeps its data. */
  private async format(jars: string, index: number): Promise<void> {
    const folder = this.nodeFolder(index)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(this.propertiesFile(index), this.properties(index), { mode: 0o600 })
    if (existsSync(join(folder, 'data/meta.properties'))) return
    const { secure } = this.options
    const scram = secure && `SCRAM-SHA-512=[name=${secure.username},password=${secure.password}]`
    await promisify(execFile)(requireProgram('java'), [
      ...this.jvm(jars),
      'kafka.tools.StorageTool',
      'format',
      '--cluster-id',
      this.clusterId(),
      '--config',
      this.propertiesFile(index),
      ...(scram === undefined ? [] : ['--add-scram', scram]),
    ])
  }

  /** 16 random bytes, the same for every node. The first bit is 0, or one of 64 would begin with a dash, as an option does. */
  private clusterId(): string {
    const file = join(this.options.folder, 'cluster-id')
    const bytes = randomBytes(16)
    bytes[0]! &= 0x7f
    if (!existsSync(file)) writeFileSync(file, bytes.toString('base64url'))
    return readFileSync(file, 'utf8').trim()
  }

  private propertiesFile(index: number): string {
    return join(this.nodeFolder(index), 'server.properties')
  }

  private jvm(jars: string): string[] {
    // Java expands the asterisk.
    return [...heap, `-Dlog4j2.configurationFile=${log4jConfig}`, '-cp', `${jars}/*`]
  }

  private daemon(jars: string, index: number): DaemonOptions {
    const { client, controller, secure } = this.options.nodes[index]!
    return {
      name: `Kafka broker ${index + 1}`,
      folder: this.nodeFolder(index),
      command: requireProgram('java'),
      args: [...this.jvm(jars), 'kafka.Kafka', this.propertiesFile(index)],
      ports: [client, controller, ...(secure === undefined ? [] : [secure])],
      isReady: async () => (await knownBrokers(`127.0.0.1:${client}`)) > 0,
    }
  }

  /** Until every broker knows every other. */
  private async waitForAll(): Promise<void> {
    for (const broker of this.brokers) {
      while ((await knownBrokers(broker).catch(() => 0)) < this.brokers.length)
        await new Promise(next => setTimeout(next, 50))
    }
  }

  private properties(index: number): string {
    const { nodes, secure } = this.options
    const { client, controller, secure: securePort, advertised = client } = nodes[index]!
    const copies = Math.min(nodes.length, 3)
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': index + 1,
      'controller.quorum.voters': nodes.map((node, at) => `${at + 1}@127.0.0.1:${node.controller}`).join(','),
      listeners: [
        `PLAINTEXT://127.0.0.1:${client}`,
        `CONTROLLER://127.0.0.1:${controller}`,
        ...(secure ? [`SECURE://127.0.0.1:${securePort}`] : []),
      ].join(','),
      'advertised.listeners': [
        `PLAINTEXT://127.0.0.1:${advertised}`,
        ...(secure ? [`SECURE://127.0.0.1:${securePort}`] : []),
      ].join(','),
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAINTEXT',
      ...(secure && secureSettings(secure)),
      'log.dirs': join(this.nodeFolder(index), 'data'),
      'num.network.threads': 2,
      'num.io.threads': 2,
      'auto.create.topics.enable': false,
      'unclean.leader.election.enable': false,
      'default.replication.factor': copies,
      'min.insync.replicas': Math.max(1, copies - 1),
      ...(nodes.length === 1 && { 'log.flush.interval.messages': 1 }),
      'offsets.topic.replication.factor': copies,
      'offsets.topic.num.partitions': 4,
      'transaction.state.log.replication.factor': copies,
      'transaction.state.log.min.isr': Math.max(1, copies - 1),
      'transaction.state.log.num.partitions': 4,
      'share.coordinator.state.topic.replication.factor': copies,
      'share.coordinator.state.topic.min.isr': Math.max(1, copies - 1),
      'group.initial.rebalance.delay.ms': 0,
      'log.segment.bytes': 64 * 1024 * 1024,
    }
    return Object.entries(settings)
      .map(([name, value]) => `${name}=${String(value).replaceAll('\\', '\\\\')}\n`)
      .join('')
  }
}

function secureSettings({ certificate, key }: KafkaSecurity): Record<string, string> {
  const oneLine = (pem: string) => pem.trim().replaceAll('\n', ' ')
  return {
    'listener.name.secure.sasl.enabled.mechanisms': 'SCRAM-SHA-512',
    'listener.name.secure.scram-sha-512.sasl.jaas.config':
      'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'listener.name.secure.ssl.keystore.type': 'PEM',
    'listener.name.secure.ssl.keystore.certificate.chain': oneLine(certificate),
    'listener.name.secure.ssl.keystore.key': oneLine(key),
  }
}

/** How many brokers the one at `address` knows; throws while it does not answer. */
async function knownBrokers(address: string): Promise<number> {
  const client = new kafkajs.Kafka({
    clientId: 'tributary-services',
    brokers: [address],
    connectionTimeout: 1000,
    requestTimeout: 5000,
    retry: { retries: 0 },
    logLevel: kafkajs.logLevel.NOTHING,
  })
  const admin = client.admin()
  try {
    await admin.connect()
    await admin.listTopics()
    return (await admin.describeCluster()).brokers.length
  } finally {
    await admin.disconnect()
  }
}
