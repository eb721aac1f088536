/**
 * Everything that can be set about an agent, with defaults, bounds and environment variables. agent.example.yaml is rendered from
 * this schema.
 *
 * Times are milliseconds and sizes bytes in the values, whatever unit the file uses.
 */
import { parseConfig } from '@tributary/shared/config'
import {
  boolean,
  bytes,
  type ConfigValue,
  duration,
  integer,
  list,
  number,
  object,
  oneOf,
  string,
} from '@tributary/shared/config-schema'
import { trustSources } from '../time/agent-clock.ts'
import { policy } from './policy-config.ts'

const KiB = 1024
const MiB = 1024 * KiB
const hourMs = 3600_000
const dayMs = 24 * hourMs

const host = (help: string, env: string) => string({ help, env, default: '127.0.0.1', minLength: 1, maxLength: 255 })
const port = (help: string, env: string, standard: number) =>
  integer({ help: `${help} 0 takes a free one.`, env, default: standard, min: 0, max: 65535 })

const hub = object(
  {
    url: string({
      help: 'Origin of the hub. Without it, the one that the agent was enrolled at.',
      default: null,
      example: 'https://hub.example.com',
      env: 'TRIBUTARY_HUB_URL',
    }),
    insecure: boolean({
      help: 'Allow plain http to another machine: tokens and readings then travel in clear.',
      default: false,
      env: 'TRIBUTARY_HUB_INSECURE',
    }),
    ca_file: string({
      help: "PEM file with the certificates that sign the hub's; replaces the built-in roots.",
      default: null,
      example: '/etc/tributary/ca.pem',
      env: 'TRIBUTARY_HUB_CA_FILE',
    }),
    proxy: string({
      help: 'HTTP proxy on the way to the hub, http://user:password@host:port; `none` for none. Without it HTTPS_PROXY and NO_PROXY hold, but for a hub on this machine.',
      default: null,
      minLength: 1,
      secret: true,
      example: 'http://proxy.example.com:3128',
      env: 'TRIBUTARY_HUB_PROXY',
    }),
    max_readings: integer({ help: 'Most readings in a batch.', unit: 'readings', default: 1000, min: 1, max: 100_000 }),
    linger: duration({ help: 'Fewer readings than that are sent after this time.', default: 200, min: 0, max: 60_000 }),
    max_in_flight: integer({
      help: 'Backlog batches under way at once, however many the hub would take; one of live readings may be beside them.',
      unit: 'batches',
      default: 8,
      min: 1,
      max: 64,
    }),
    in_order_below: duration({
      help: 'With less than this to catch up, one batch goes after another, in order; with more, live readings go first and the backlog beside them, as many batches at once as the hub grants.',
      default: 30_000,
      min: 0,
      max: dayMs,
    }),
    max_bandwidth: bytes({
      help: 'Bytes a second that requests to the hub may take, live readings first. Without it, no bound.',
      default: null,
      min: 1000,
      max: 2 ** 40,
      example: 250_000,
      env: 'TRIBUTARY_HUB_MAX_BANDWIDTH',
    }),
    max_backoff: duration({
      help: 'Longest wait between tries while the hub cannot be reached.',
      default: 60_000,
      min: 1000,
      max: hourMs,
    }),
    connect_timeout: duration({ help: 'Bound of connecting to the hub.', default: 5000, min: 1, max: 600_000 }),
    answer_timeout: duration({ help: "Bound of the hub's answer.", default: 30_000, min: 1, max: hourMs }),
  },
  { help: 'Where readings go.' },
)

const mqttUser = object({
  name: string({ help: 'User name.', minLength: 1, maxLength: 256, example: 'press1' }),
  password_hash: string({
    help: 'From `tributary-agent password hash`.',
    secret: true,
    maxLength: 256,
    example: 'scrypt$16384$8$1$…',
  }),
})

const mqtt = object(
  {
    enabled: boolean({ help: 'Listen for sensors that publish over MQTT.', default: true }),
    host: host('Address to listen on. Off loopback, users are required.', 'TRIBUTARY_MQTT_HOST'),
    port: port(
      'TCP port. While another program has it, an agent with other sources goes on with them and tries again; one without any refuses to start.',
      'TRIBUTARY_MQTT_PORT',
      1883,
    ),
    users: list(mqttUser, { help: 'Who may connect. Without users, everyone on this machine.' }),
    password_file: string({
      help: 'More users: a file of lines name:hash, readable by the agent alone.',
      default: null,
      example: '/etc/tributary/mqtt-users',
    }),
    allow_subscribe: boolean({
      help: 'Let clients subscribe, to look on: what was stored is delivered at QoS 0.',
      default: false,
    }),
    max_payload: bytes({
      help: 'Longest payload that is decoded; longer ones become dead letters.',
      default: 64 * KiB,
      min: 16,
      max: MiB,
    }),
    max_packet: bytes({
      help: 'Longest packet; a longer one ends its connection.',
      default: 256 * KiB,
      min: 128,
      max: 16 * MiB,
    }),
    max_connections: integer({
      help: 'Connections at once; more are turned away.',
      unit: 'connections',
      default: 1000,
      min: 1,
      max: 100_000,
    }),
    connect_timeout: duration({
      help: 'How long a connection may take to say CONNECT.',
      default: 30_000,
      min: 100,
      max: 600_000,
    }),
    max_silence: duration({
      help: 'A connection silent for longer is closed, even if its client asked for a longer keep-alive or none.',
      default: dayMs,
      min: 1000,
      max: 30 * dayMs,
    }),
    max_in_flight: bytes({
      help: 'Bytes heard and not yet committed, over all connections; above it reading stops.',
      default: 8 * MiB,
      min: 64 * KiB,
      max: 1024 * MiB,
    }),
  },
  {
    help: 'Sensors that publish over MQTT. Readings are acknowledged after they are on disk.',
    check: (value, problem) =>
      value.maxPacket < value.maxPayload && problem('max_packet', 'is smaller than max_payload'),
  },
)

const serialPort = object({
  name: string({
    help: 'What the port is called in logs and metrics.',
    pattern: /^[a-z0-9][a-z0-9_-]{0,31}$/,
    patternText: '1 to 32 lower-case letters, digits, - or _',
    example: 'press1',
  }),
  path: string({
    help: 'The port. Prefer a name that stays when cables are moved, as under /dev/serial/by-id.',
    minLength: 1,
    example: '/dev/ttyUSB0',
  }),
  baud_rate: integer({ help: 'Speed.', unit: 'baud', default: 115_200, min: 50, max: 12_000_000 }),
  data_bits: integer({ help: 'Data bits.', default: 8, min: 5, max: 8 }),
  parity: oneOf(['none', 'even', 'odd'], { help: 'Parity.', default: 'none' }),
  stop_bits: integer({ help: 'Stop bits.', default: 1, min: 1, max: 2 }),
  framing: oneOf(['lines', 'acknowledged'], {
    help: 'One JSON document a line; `acknowledged` adds line number and CRC-32, and answers ACK after the commit.',
    default: 'lines',
  }),
  device: string({
    help: 'Device of lines that name none.',
    default: null,
    minLength: 1,
    maxLength: 256,
    example: 'press1',
  }),
  max_line: bytes({ help: 'Longest line; longer ones become dead letters.', default: 8 * KiB, min: 64, max: MiB }),
})

const broker = object(
  {
    name: string({
      help: 'What the broker is called in logs and metrics.',
      pattern: /^[a-z0-9][a-z0-9_-]{0,31}$/,
      patternText: '1 to 32 lower-case letters, digits, - or _',
      example: 'plant',
    }),
    url: string({ help: 'Its address, mqtt:// or mqtts://.', minLength: 1, example: 'mqtt://127.0.0.1:1883' }),
    topics: list(
      string({ help: 'A topic, + and # as in MQTT.', minLength: 1, maxLength: 1024, example: 'sensors/#' }),
      {
        help: 'What is subscribed to, at least one. What a topic means stands under decode.routes.',
        maxItems: 100,
      },
    ),
    qos: integer({ help: 'Quality of service that is asked for.', default: 1, min: 0, max: 2 }),
    client_id: string({
      help: 'Name of the session at the broker; no other client may have it. Without it, from the host name and `name`.',
      default: null,
      minLength: 1,
      maxLength: 128,
      example: 'tributary-hall-3',
    }),
    username: string({ help: 'User name at the broker.', default: null, minLength: 1, example: 'tributary' }),
    password_file: string({
      help: 'File that holds the password, readable by the agent alone.',
      default: null,
      example: '/etc/tributary/plant-password',
    }),
    ca_file: string({
      help: "PEM file with the certificates that sign the broker's; replaces the built-in roots.",
      default: null,
      example: '/etc/tributary/plant-ca.pem',
    }),
    keep_alive: duration({
      help: 'A broker silent for 1.5 times this is given up.',
      default: 30_000,
      min: 1000,
      max: hourMs,
    }),
    max_packet: bytes({
      help: 'Longest packet; a longer one becomes a dead letter, cut off.',
      default: MiB,
      min: 128,
      max: 256 * MiB,
    }),
    max_in_flight: bytes({
      help: 'Bytes heard and not yet committed; above it reading stops.',
      default: 8 * MiB,
      min: 64 * KiB,
      max: 1024 * MiB,
    }),
  },
  {
    help: 'A broker that is there already.',
    check(value, problem) {
      if (value.topics.length === 0) problem('topics', 'is empty')
      if (value.username === null && value.passwordFile !== null) problem('password_file', 'needs a username')
    },
  },
)

const route = object({
  topic: string({
    help: 'Pattern of the topic: {device} and {metric} stand for a level each, + for any.',
    minLength: 1,
    example: 'plant/+/{device}/{metric}',
  }),
  format: string({ help: 'Payload format.', default: 'json' }),
})

const buffer = object(
  {
    storage: oneOf(['sd', 'ssd', 'ram'], {
      help: 'What the data folder stands on: on an SD card small groups wait up to 100 ms, to spare the card.',
      default: 'ssd',
      env: 'TRIBUTARY_STORAGE',
    }),
    window: duration({
      help: 'Longest wait for more readings before a commit. Without it, by `storage`: 100 ms on sd, 5 ms otherwise.',
      default: null,
      min: 0,
      max: 10_000,
      example: 100,
    }),
    max_group_readings: integer({
      help: 'A group of so many readings is committed at once.',
      unit: 'readings',
      default: 1000,
      min: 1,
      max: 100_000,
    }),
    max_bytes: bytes({
      help: 'All buffered data on disk; the oldest is given up beyond it, and accounted for.',
      default: 1024 * MiB,
      min: MiB,
      max: 2 ** 50,
      env: 'TRIBUTARY_BUFFER_MAX_BYTES',
    }),
    file_bytes: bytes({
      help: 'One file of the buffer. Without it 16 MiB, or an eighth of max_bytes when that is less.',
      default: null,
      min: 64 * KiB,
      max: 1024 * MiB,
      example: 16 * MiB,
    }),
    max_age: duration({ help: 'Readings not sent within this time are given up.', default: 365 * dayMs, min: 1000 }),
    thin_to: duration({
      help: 'When unsent readings would be given up, numbers of class raw are reduced to aggregates of windows of this length, which are kept and sent instead. Without it they are lost, and accounted for.',
      default: null,
      min: 1000,
      max: 7 * dayMs,
      example: 60_000,
    }),
    min_free: bytes({
      help: 'Give up the oldest while the file system has less free than this.',
      default: 64 * MiB,
      min: 0,
      max: 2 ** 50,
    }),
    copy_max_age: duration({
      help: 'How long readings that the hub has are kept, for the case that it loses them.',
      default: dayMs,
      min: 0,
    }),
    copy_share: number({ help: 'Share of max_bytes that such copies may take.', default: 0.25, min: 0, max: 1 }),
    max_held: bytes({
      help: 'Readings in memory that wait for their commit.',
      default: 16 * MiB,
      min: KiB,
      max: 4096 * MiB,
    }),
    fail_after: duration({
      help: 'After so long without a commit that works, publishers are refused.',
      default: 2000,
      min: 0,
      max: hourMs,
    }),
    max_dead_letters: integer({
      help: 'Payloads kept that did not decode; the oldest go first.',
      unit: 'payloads',
      default: 1000,
      min: 0,
      max: 1_000_000,
    }),
    max_dead_letter_bytes: bytes({
      help: 'Bytes of such payloads. Without it 1 MiB, or a quarter of file_bytes when that is less.',
      default: null,
      min: 0,
      example: MiB,
    }),
    max_receipts: integer({
      help: 'Stored messages remembered by packet identifier, to recognise redeliveries. Without it 20,000, or fewer with small files.',
      unit: 'receipts',
      default: null,
      min: 0,
      max: 1_000_000,
      example: 20_000,
    }),
    max_open_windows: bytes({
      help: 'Memory of windows that policies fold into, about 800 bytes a series; above it those open longest are sent early, the rest of them as a further part. Without it 4 MiB, or a quarter of file_bytes when that is less.',
      default: null,
      min: 0,
      max: 256 * MiB,
      example: 4 * MiB,
    }),
    ballast: bytes({
      help: 'Kept aside, to be able to make room on a full disk.',
      default: 4 * MiB,
      min: 0,
      max: 2 ** 32,
    }),
  },
  { help: 'Where readings are kept until the hub has them.' },
)

const clock = object(
  {
    trust: list(
      oneOf(trustSources, {
        help: "`hub`: its signed time. `ntp`: this machine's clock while it is synchronised. `system`: this machine's clock as it is.",
        example: 'hub',
      }),
      {
        help: 'Whose time is believed; the one named first, the others until it has spoken. Without it hub, then ntp. `system` suits machines with a good clock of their own and no NTP.',
        maxItems: 3,
        env: 'TRIBUTARY_CLOCK_TRUST',
        check(sources, problem) {
          for (const [index, source] of sources.entries())
            if (sources.indexOf(source) < index) problem(index, `names \`${source}\` again`)
          if (sources.length > 0 && !sources.includes('hub'))
            problem(0, 'is without `hub`: readings that came before any other time was there could never be sent')
        },
      },
    ),
  },
  {
    help: "Which time readings get that bring none. Until a time is trusted they are kept with the time since boot, and placed later; after that the machine's own clock may jump as it likes.",
  },
)

export const agentSchema = object({
  name: string({
    help: 'What people call the gateway. Without it, the host name.',
    default: null,
    example: 'hall-3',
    minLength: 1,
    maxLength: 128,
    env: 'TRIBUTARY_AGENT_NAME',
  }),
  data_dir: string({
    help: 'Folder of the identity and of all buffered readings; made if it is missing.',
    default: 'agent-data',
    minLength: 1,
    env: 'TRIBUTARY_DATA_DIR',
  }),
  log_level: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal'], {
    help: 'Least severe messages that are logged.',
    default: 'info',
    env: 'TRIBUTARY_LOG_LEVEL',
  }),
  hub,
  mqtt,
  serial: list(serialPort, {
    help: 'Serial ports to read.',
    maxItems: 64,
    check(ports, problem) {
      for (const [index, { name, path }] of ports.entries()) {
        if (ports.findIndex(other => other.name === name) < index)
          problem(index, `has the name \`${name}\` of another port`)
        if (ports.findIndex(other => other.path === path) < index) problem(index, `has the path of another port`)
      }
    },
  }),
  brokers: list(broker, {
    help: 'MQTT brokers elsewhere, to subscribe at. Messages are acknowledged after they are on disk.',
    maxItems: 16,
    check(brokers, problem) {
      for (const [index, { name }] of brokers.entries())
        if (brokers.findIndex(other => other.name === name) < index)
          problem(index, `has the name \`${name}\` of another broker`)
    },
  }),
  decode: object(
    {
      routes: list(route, {
        help: 'Topics and their payloads, tried in order before sensors/{device}/{metric} and sensors/{device}, which hold JSON.',
        maxItems: 100,
      }),
    },
    { help: 'What topics mean.' },
  ),
  policies: list(policy, {
    help: 'What is done with which readings before they leave; the first whose patterns match holds. Without a match they are sent as they are.',
    maxItems: 1000,
  }),
  buffer,
  clock,
  health: object(
    {
      enabled: boolean({
        help: 'Serve /metrics, /healthz, /readyz and /status. `status` and `deadletter` ask here.',
        default: true,
      }),
      host: host('Address to listen on. Only this machine may drop or replay dead letters.', 'TRIBUTARY_HEALTH_HOST'),
      port: port('TCP port.', 'TRIBUTARY_HEALTH_PORT', 9108),
    },
    { help: 'For those who watch the agent.' },
  ),
})

export type AgentConfig = ConfigValue<typeof agentSchema>
export type MqttConfig = AgentConfig['mqtt']
export type BrokerConfig = AgentConfig['brokers'][number]
export type SerialConfig = AgentConfig['serial'][number]
export type HealthConfig = AgentConfig['health']

/** @throws ConfigError with every problem found */
export function parseAgentConfig(text: string, fileName: string, env: NodeJS.ProcessEnv): AgentConfig {
  return parseConfig(text, fileName, agentSchema, { env })
}
