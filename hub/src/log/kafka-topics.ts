/**
 * The topics of the log: made with every setting that the promises rest on, and checked at every start.
 *
 * A topic that is there already may be stronger, never weaker: it is refused with each setting that is, what it should be, and the
 * command that changes it. Brokers must not make topics by themselves (auto.create.topics.enable=false), or a mistyped prefix would
 * make a weak one.
 */
import { TributaryError } from '@tributary/shared/errors'
import { retry } from '@tributary/shared/retry'
import type { Admin, DescribeConfigResponse } from 'kafkajs'
import { kafkajs } from './kafkajs.ts'

export interface TopicSettings {
  /** May grow; a topic that has more keeps them. */
  readonly partitions: number
  /** Copies of each record. 1 is for a lone broker: then each record is fsynced. */
  readonly replication: number
  /** Records are kept at least this long. */
  readonly retainMs: number
}

/** A batch as received, and its verdict: 4 MiB and some. */
const maxMessageBytes = 8 * 1024 * 1024
/** `retention.ms` of records that stay for ever. */
const forever = -1

/** Make the topic if it is not there; its number of partitions. Throws `config` for a topic that is weaker than wanted. */
export async function ensureTopic(admin: Admin, topic: string, settings: TopicSettings): Promise<number> {
  return await retry(
    async () => {
      await createTopic(admin, topic, settings)
      const partitions = await growTopic(admin, topic, settings)
      await checkTopic(admin, topic, settings)
      return partitions
    },
    { ...patience, signal: new AbortController().signal, retryable: isOnItsWay },
  )
}

/** Brokers hear of a topic one after the other; another hub may make or widen it at the same time. */
const patience = { tries: 20, baseMs: 200, capMs: 1000 }
const onTheirWay = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE', 'INVALID_PARTITIONS']

function isOnItsWay(error: unknown): boolean {
  return onTheirWay.includes((error as { type?: string }).type ?? '')
}

async function createTopic(admin: Admin, topic: string, settings: TopicSettings): Promise<void> {
  const { partitions, replication, retainMs } = settings
  const configEntries = Object.entries({
    'cleanup.policy': 'delete',
    'retention.ms': retainMs,
    'retention.bytes': -1,
    'min.insync.replicas': insync(replication),
    'unclean.leader.election.enable': false,
    'max.message.bytes': maxMessageBytes,
    ...(replication === 1 && { 'flush.messages': 1 }),
  }).map(([name, value]) => ({ name, value: String(value) }))
  if ((await admin.listTopics()).includes(topic)) return
  try {
    await admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: replication, configEntries }],
      waitForLeaders: true,
    })
  } catch (error) {
    throw await creationError(admin, topic, replication, error)
  }
}

/** The brokers' own words name no number. */
async function creationError(admin: Admin, topic: string, replication: number, error: unknown): Promise<unknown> {
  const { brokers } = await admin.describeCluster()
  if (brokers.length >= replication) return error
  return new TributaryError(
    'config',
    `topic ${topic} is to have ${replication} copies of each record, the cluster has ${brokers.length} broker(s)`,
    {
      cause: error,
      hint: 'Start more brokers, or set kafka.replication: 1 for a lone broker (its disk is then the only copy)',
    },
  )
}

async function growTopic(admin: Admin, topic: string, { partitions }: TopicSettings): Promise<number> {
  const found = (await partitionsOf(admin, topic)).length
  if (found >= partitions) return found
  await admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] })
  return partitions
}

async function partitionsOf(admin: Admin, topic: string) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  return topics[0]?.partitions ?? []
}

async function checkTopic(admin: Admin, topic: string, settings: TopicSettings): Promise<void> {
  const { replication, retainMs } = settings
  const weaker: string[] = []
  const copies = Math.min(...(await partitionsOf(admin, topic)).map(({ replicas }) => replicas.length))
  if (copies < replication) weaker.push(`replication factor is ${copies}, wanted at least ${replication}`)
  const config = await describe(admin, topic)
  const expect = (name: string, wanted: string, good: (value: string) => boolean) => {
    const value = config.get(name) ?? 'unknown'
    if (!good(value)) weaker.push(`${name} is ${value}, wanted ${wanted}`)
  }
  const atLeast = (name: string, least: number) => expect(name, `at least ${least}`, value => Number(value) >= least)
  atLeast('min.insync.replicas', insync(replication))
  atLeast('max.message.bytes', maxMessageBytes)
  expect('unclean.leader.election.enable', 'false', value => value === 'false')
  expect('cleanup.policy', 'delete', value => value === 'delete')
  expect('retention.bytes', '-1', value => value === '-1')
  expect('retention.ms', `at least ${retainMs}`, value => Number(value) === forever || Number(value) >= retainMs)
  if (copies === 1) expect('flush.messages', '1, because there is one copy', value => value === '1')
  if (weaker.length === 0) return
  throw new TributaryError('config', `topic ${topic} is weaker than the hub's promises: ${weaker.join('; ')}`, {
    hint: `Change it (kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config …), or set the section kafka: to what you accept`,
  })
}

/** An acknowledged record is on so many copies. */
function insync(replication: number): number {
  return replication >= 3 ? 2 : 1
}

async function describe(admin: Admin, topic: string): Promise<ReadonlyMap<string, string>> {
  const answer: DescribeConfigResponse = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }],
  })
  return new Map(answer.resources[0]?.configEntries.map(entry => [entry.configName, entry.configValue]))
}
