/**
 * Everything that can be set about a hub, with defaults, bounds and environment variables. hub.example.yaml is rendered from this
 * schema.
 *
 * Times are milliseconds and sizes bytes in the values, whatever unit the file uses.
 */
import { parseConfig } from '@tributary/shared/config'
import {
  bytes,
  type ConfigValue,
  duration,
  integer,
  list,
  object,
  oneOf,
  string,
} from '@tributary/shared/config-schema'

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const hourMs = 3600_000
const dayMs = 24 * hourMs

const tls = object(
  {
    cert_file: string({ help: 'Certificate chain, PEM.', minLength: 1, example: '/etc/tributary/hub.crt' }),
    key_file: string({
      help: 'Its private key, PEM, readable by the hub alone.',
      minLength: 1,
      example: '/etc/tributary/hub.key',
    }),
  },
  { help: 'Serve HTTPS.', optional: true },
)

const listen = object(
  {
    host: string({
      help: 'Address to listen on. Off loopback, serve HTTPS here or in front: tokens must not travel in clear.',
      default: '127.0.0.1',
      minLength: 1,
      maxLength: 255,
      env: 'TRIBUTARY_HUB_HOST',
    }),
    port: integer({
      help: 'TCP port. 0 takes a free one.',
      default: 8080,
      min: 0,
      max: 65535,
      env: 'TRIBUTARY_HUB_PORT',
    }),
    tls,
  },
  { help: 'Where agents and people reach the hub.' },
)

const database = object(
  {
    url: string({
      help: 'Postgres 16 or newer. Without it, the hub runs its own Postgres in the data folder.',
      default: null,
      secret: true,
      example: 'postgres://tributary@db.example.com/tributary',
      env: 'DATABASE_URL',
    }),
    password_file: string({
      help: 'File whose first line is the password of the user in `url`, which then carries none.',
      default: null,
      example: '/run/secrets/database-password',
      env: 'TRIBUTARY_DATABASE_PASSWORD_FILE',
    }),
    connections: integer({ help: 'Connections at most.', default: 20, min: 8, max: 500 }),
    embedded_port: integer({
      help: 'Port of its own Postgres, on loopback. 0 takes a free one.',
      default: 0,
      min: 0,
      max: 65535,
    }),
    embedded_shared_buffers: bytes({
      help: 'Page cache of its own Postgres.',
      default: 96 * MiB,
      min: 16 * MiB,
      max: 64 * GiB,
    }),
  },
  { help: 'Where everything is stored.' },
)

const eventLog = object(
  {
    partitions: integer({
      help: 'Partitions: what consumers work on side by side. May grow.',
      default: 4,
      min: 1,
      max: 256,
    }),
    max_bytes: bytes({
      help: 'Above this the hub answers 503 until its consumers have come on.',
      default: 8 * GiB,
      min: 16 * MiB,
      max: 2 ** 50,
    }),
    retain: duration({
      help: 'What every consumer has passed is kept this long.',
      default: hourMs,
      min: 60_000,
      max: 366 * dayMs,
    }),
  },
  { help: 'The log between ingest and its consumers, in Postgres. With a section `kafka` it is there instead.' },
)

const pemFile = (help: string, example: string) => string({ help, default: null, minLength: 1, example })

const kafka = object(
  {
    brokers: list(
      string({
        help: 'A broker that answers tells of the others.',
        pattern: /^(?:[^\s:]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/,
        patternText: 'a host and its port, such as `kafka-1:9092`',
        example: 'kafka-1.example.com:9093',
      }),
      { help: 'Where Kafka is reached; at least one.', maxItems: 100 },
    ),
    topic_prefix: string({
      help: 'Before the names of topics and consumer groups: `tributary.` makes `tributary.batches`.',
      default: 'tributary.',
      maxLength: 100,
      pattern: /^[A-Za-z0-9._-]*$/,
      patternText: 'letters, digits, `.`, `_` and `-`',
    }),
    partitions: integer({
      help: 'Partitions a topic: what consumers work on side by side. May grow; a topic that has more keeps them.',
      default: 4,
      min: 1,
      max: 256,
    }),
    replication: integer({
      help: 'Copies of each record, each on another broker. 1 is for a lone broker, which then fsyncs each record.',
      default: 3,
      min: 1,
      max: 7,
    }),
    retain: duration({
      help: 'Records are kept this long, read or not: a consumer that is away for longer has lost some.',
      default: 7 * dayMs,
      min: hourMs,
      max: 366 * dayMs,
    }),
    max_pending: bytes({
      help: 'Bytes waiting for Kafka; above it the hub answers 503.',
      default: 64 * MiB,
      min: 8 * MiB,
      max: 16 * GiB,
    }),
    sasl: object(
      {
        mechanism: oneOf(['scram-sha-256', 'scram-sha-512'], {
          help: 'How the password is proved; it does not travel.',
          default: 'scram-sha-512',
        }),
        username: string({ help: 'User at the brokers.', minLength: 1, maxLength: 255, example: 'tributary' }),
        password_file: string({
          help: 'File whose first line is its password, readable by the hub alone.',
          minLength: 1,
          example: '/run/secrets/kafka-password',
        }),
      },
      { help: 'Log in.', optional: true },
    ),
    tls: object(
      {
        ca_file: pemFile(
          "Who signs the brokers' certificates, PEM. Without it the authorities that Node trusts.",
          '/etc/tributary/kafka-ca.crt',
        ),
        cert_file: pemFile('Certificate of the hub, PEM, for brokers that ask for one.', '/etc/tributary/kafka.crt'),
        key_file: pemFile('Its private key, PEM, readable by the hub alone.', '/etc/tributary/kafka.key'),
      },
      {
        help: "Encrypt, and check the brokers' certificates.",
        optional: true,
        check({ certFile, keyFile }, problem) {
          if (certFile === null && keyFile !== null) problem('key_file', 'is given without `cert_file`')
          if (certFile !== null && keyFile === null) problem('cert_file', 'is given without `key_file`')
        },
      },
    ),
  },
  {
    help: 'Keep the event log in Kafka instead of Postgres (tested with Kafka 4.3).',
    optional: true,
    check({ brokers }, problem) {
      if (brokers.length === 0) problem('brokers', 'is empty, expected at least one `host:port`')
    },
  },
)

const longest = 36_500 * dayMs

const storage = object(
  {
    retain: duration({
      help: 'Readings are kept this long, by their own time.',
      default: 365 * dayMs,
      min: dayMs,
      max: longest,
    }),
    retain_minutes: duration({
      help: 'The minutes that they are rolled up into, and aggregates of agents, are kept this long.',
      default: 1825 * dayMs,
      min: dayMs,
      max: longest,
    }),
    rules: list(
      object({
        metric: string({
          help: 'Name of a metric; `*` stands for any characters.',
          minLength: 1,
          maxLength: 256,
          example: 'vibration_*',
        }),
        retain: duration({ help: 'Its readings are kept this long.', min: dayMs, max: longest, example: 30 * dayMs }),
      }),
      { help: 'Metrics that are kept for another time; the first rule that fits holds.' },
    ),
    min_free: bytes({
      help: 'With less free space beside its own Postgres the hub stops taking in, before Postgres would have to.',
      default: 512 * MiB,
      min: 0,
      max: 2 ** 50,
    }),
  },
  { help: 'What is kept, and for how long.' },
)

const ingest = object(
  {
    max_in_flight: bytes({
      help: 'Request bytes being read or waiting for the log; above it the hub answers 503.',
      default: 64 * MiB,
      min: 8 * MiB,
      max: 16 * GiB,
    }),
    append_timeout: duration({
      help: 'Wait this long for the log before 503.',
      default: 10_000,
      min: 100,
      max: 600_000,
    }),
    max_series_per_agent: integer({
      help: 'Readings of series beyond this are refused.',
      unit: 'series',
      default: 10_000,
      min: 1,
      max: 1_000_000,
    }),
    max_credits: integer({
      help: 'Backlog batches that one agent may have in flight when the hub is idle.',
      unit: 'batches',
      default: 8,
      min: 1,
      max: 64,
    }),
  },
  { help: 'Bounds of what comes in.' },
)

export const hubSchema = object({
  data_dir: string({
    help: 'Folder of the keys and of the embedded database; made if it is missing.',
    default: 'hub-data',
    minLength: 1,
    env: 'TRIBUTARY_DATA_DIR',
  }),
  log_level: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal'], {
    help: 'Least severe messages that are logged.',
    default: 'info',
    env: 'TRIBUTARY_LOG_LEVEL',
  }),
  hub_key_file: string({
    help: 'Private key with which the hub signs, PEM. Without it hub-key.pem in the data folder, made at the first start.',
    default: null,
    example: '/etc/tributary/hub-key.pem',
    env: 'TRIBUTARY_HUB_KEY_FILE',
  }),
  listen,
  database,
  event_log: eventLog,
  kafka,
  storage,
  ingest,
  enrollment: object(
    {
      key_overlap: duration({
        help: 'After a rotation the key before stays valid this long.',
        default: dayMs,
        min: 0,
        max: 366 * dayMs,
      }),
    },
    { help: 'How gateways become agents.' },
  ),
})

export type HubConfig = ConfigValue<typeof hubSchema>

/** The hub's configuration from the text of its file; the environment wins. Throws `ConfigError` with every problem. */
export function parseHubConfig(text: string, fileName: string, env: NodeJS.ProcessEnv): HubConfig {
  return parseConfig(text, fileName, hubSchema, { env })
}
