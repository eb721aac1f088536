/**
 * The agent's metrics for Prometheus: `tributary_agent_*`. Values are read from the stages when somebody asks; only the commit
 * latency is recorded as it happens, of one message in `sampleEvery`.
 */
import type { Lane } from '@tributary/shared/protocol'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { trustSources } from '../time/agent-clock.ts'
import type { LaneStatus } from '../uplink/uplink-status.ts'
import type { AgentStatus } from './agent-status.ts'

/** Messages for each whose commit is timed. */
export const sampleEvery = 16

const prefix = 'tributary_agent_'
const uplinkStates = ['idle', 'sending', 'waiting', 'refused', 'blocked', 'stopped'] as const

export interface Metrics {
  readonly contentType: string
  /** The text of one scrape. */
  render(): Promise<string>
  observeCommit(seconds: number): void
}

interface Value {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export function createMetrics(read: () => Promise<AgentStatus>): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix })
  const commit = new Histogram({
    name: `${prefix}commit_seconds`,
    help: `Time from a message heard to its commit, of one message in ${sampleEvery}`,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
  })
  const setters = [...counters, ...gauges].map(({ name, help, labels, values }) => {
    const options = { name: prefix + name, help, labelNames: [...labels], registers: [registry] }
    const metric = name.endsWith('_total') ? new Counter(options) : new Gauge(options)
    return (status: AgentStatus) => {
      metric.reset()
      for (const { labels: of, value } of values(status)) metric.inc(of, value)
    }
  })
  return {
    contentType: registry.contentType,
    async render() {
      const status = await read()
      for (const set of setters) set(status)
      return registry.metrics()
    },
    observeCommit: seconds => commit.observe(seconds),
  }
}

interface Definition {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  readonly values: (status: AgentStatus) => readonly Value[]
}

function one(name: string, help: string, read: (status: AgentStatus) => number | null | undefined): Definition {
  return {
    name,
    help,
    labels: [],
    values(status) {
      const value = read(status)
      return value === null || value === undefined ? [] : [{ labels: {}, value }]
    },
  }
}

function eachSource(
  name: string,
  help: string,
  read: (source: AgentStatus['sources'][number]) => number | undefined,
): Definition {
  return {
    name,
    help,
    labels: ['source'],
    values: ({ sources }) =>
      sources.flatMap(source => {
        const value = read(source)
        return value === undefined ? [] : [{ labels: { source: source.name }, value }]
      }),
  }
}

const lanes: readonly Lane[] = ['live', 'backlog']

function eachLane(name: string, help: string, read: (lane: LaneStatus) => number): Definition {
  return {
    name,
    help,
    labels: ['lane'],
    values: ({ uplink }) =>
      uplink === null ? [] : lanes.map(lane => ({ labels: { lane }, value: read(uplink.lanes[lane]) })),
  }
}

const counters: readonly Definition[] = [
  one(
    'device_bytes_written_total',
    'Bytes that the process made the kernel write to its devices since the start (/proc/self/io)',
    status => status.deviceWrites.bytes,
  ),
  eachSource('messages_total', 'Messages heard since the start', source => source.messages),
  eachSource('undecoded_total', 'Messages that became dead letters since the start', source => source.deadLettered),
  eachSource(
    'duplicates_total',
    'Messages told again, acknowledged without storing them again, since the start',
    source => source.duplicates,
  ),
  eachSource('refused_total', 'Connections and logins turned away since the start', source => source.mqtt?.refused),
  eachSource(
    'broken_off_total',
    'Connections ended because of what they sent since the start',
    source => source.mqtt?.brokenOff,
  ),
  eachSource(
    'source_failures_total',
    'Times since the start that the source could not start or ended by itself; it is started again',
    source => source.failures,
  ),
  eachSource('damaged_total', 'Lines damaged on the way since the start', source => source.serial?.damaged),
  eachSource('dropped_total', 'Plain lines that could not be stored since the start', source => source.serial?.dropped),
  one('readings_accepted_total', 'Readings accepted since the first start', status => status.buffer.counters.accepted),
  one('readings_stored_total', 'Readings stored since the first start', status => status.buffer.counters.stored),
  one(
    'readings_folded_total',
    'Readings that went into aggregates only since the first start',
    status => status.buffer.counters.folded,
  ),
  one(
    'readings_suppressed_total',
    'Readings left out by policy since the first start',
    status => status.buffer.counters.suppressed,
  ),
  one(
    'readings_dead_lettered_total',
    'Payloads kept as dead letters since the first start',
    status => status.buffer.counters.deadLettered,
  ),
  one(
    'readings_evicted_total',
    'Readings given up since the first start; each is in the ledger',
    status => status.buffer.counters.evicted,
  ),
  one(
    'readings_maybe_duplicate_total',
    'Readings kept although they may repeat another, since the first start',
    status => status.buffer.counters.maybeDuplicate,
  ),
  one('windows_closed_total', 'Parts of windows that closed since the start', status => status.buffer.windows.closed),
  one(
    'windows_closed_early_total',
    'Parts of windows closed early for want of memory since the start',
    status => status.buffer.windows.closedEarly,
  ),
  one(
    'aggregates_sealed_total',
    'Parts of windows put into batches since the start',
    status => status.buffer.windows.sealed,
  ),
  one(
    'readings_late_total',
    'Readings that came after their window had closed since the start',
    status => status.buffer.windows.late,
  ),
  {
    name: 'class_readings_total',
    help: 'Readings since the first start by class of series: accepted is the sum of the other fates',
    labels: ['class', 'fate'],
    values: ({ buffer }) =>
      buffer.counters.classes.flatMap(({ class: name, ...fates }) =>
        Object.entries(fates).map(([fate, value]) => ({ labels: { class: name, fate }, value })),
      ),
  },
  one('uplink_batches_total', 'Batches stored by the hub since the start', status => status.uplink?.sentBatches),
  one('uplink_readings_total', 'Readings stored by the hub since the start', status => status.uplink?.sentReadings),
  one('uplink_bytes_total', 'Bytes of batches stored by the hub since the start', status => status.uplink?.sentBytes),
  eachLane('uplink_lane_batches_total', 'Batches stored by the hub since the start, by lane', lane => lane.sentBatches),
  eachLane(
    'uplink_lane_readings_total',
    'Readings stored by the hub since the start, by lane',
    lane => lane.sentReadings,
  ),
  eachLane(
    'uplink_lane_bytes_total',
    'Bytes of batches stored by the hub since the start, by lane',
    lane => lane.sentBytes,
  ),
  one(
    'batches_resealed_total',
    'Batches sealed again under another epoch since the first start: the hub had their identity with other contents',
    status => status.buffer.resealedBatches,
  ),
  one(
    'clock_corrections_total',
    'Corrections of the trusted time by more than 0.1 s since the start',
    status => status.clock.corrections,
  ),
  one('clock_steps_back_total', 'Those of them that went back in one step', status => status.clock.stepsBack),
  one(
    'uplink_failed_tries_total',
    'Requests that did not end with a stored batch since the start',
    status => status.uplink?.failedTries,
  ),
]

const gauges: readonly Definition[] = [
  one(
    'device_bytes_per_reading',
    'Bytes that the process wrote to its devices by readings accepted, since the start',
    ({ deviceWrites: { bytes, readings } }) => (bytes === null || readings === 0 ? null : bytes / readings),
  ),
  one('buffer_backlog_readings', 'Readings that the hub does not have yet', status => status.buffer.backlogReadings),
  one('windows_open', 'Parts of windows that take readings', status => status.buffer.windows.open),
  one('buffer_backlog_ranges', 'Ranges of backlog behind the live one', status => status.buffer.backlogRanges),
  eachLane('uplink_lane_unsealed_readings', 'Readings not in a batch yet, by lane', lane => lane.unsealedReadings),
  eachLane('uplink_lane_in_flight', 'Batches under way, by lane', lane => lane.inFlight),
  one('uplink_lanes_apart', '1 while live readings go before a backlog', status =>
    status.uplink === null ? null : Number(status.uplink.apart),
  ),
  one('uplink_recalls_open', 'Recalls of the hub to be worked on', status => status.uplink?.recalls.open),
  one('uplink_credits', 'Backlog batches that the hub takes at once', status => status.uplink?.credits),
  one(
    'uplink_drain_readings_per_second',
    'Readings stored by the hub, averaged over about 10 s',
    status => status.uplink?.drainReadingsPerS,
  ),
  one(
    'uplink_estimated_drain_seconds',
    'Until the hub has everything, at that rate; -1 while nothing leaves',
    ({ uplink }) => uplink && (uplink.estimatedDrainMs === null ? -1 : uplink.estimatedDrainMs / 1000),
  ),
  one('buffer_bytes', 'Bytes of the buffer on disk', status => status.buffer.bytes),
  one('buffer_files', 'Files of the buffer', status => status.buffer.files),
  one('buffer_dead_letters', 'Dead letters kept', status => status.buffer.deadLetters),
  one('buffer_sealed_batches', 'Batches sealed and not acknowledged', status => status.buffer.sealedPending),
  one('buffer_writable', '1 while commits work', status => (status.buffer.writable ? 1 : 0)),
  one(
    'buffer_oldest_seconds',
    'Event time of the oldest reading that the hub does not have, seconds since 1970',
    status => (status.buffer.oldestUs === null ? null : status.buffer.oldestUs / 1e6),
  ),
  one('clock_trusted', '1 while readings without a time are stamped by a trusted one', ({ clock }) =>
    Number(clock.trusted),
  ),
  {
    name: 'clock_source',
    help: '1 for the source of the trusted time',
    labels: ['source'],
    values: ({ clock }) => trustSources.map(source => ({ labels: { source }, value: Number(clock.source === source) })),
  },
  one(
    'clock_trusted_since_seconds',
    'When this boot gained trust, seconds since 1970',
    ({ clock }) => clock.trustedSinceMs && clock.trustedSinceMs / 1000,
  ),
  one(
    'clock_offset_seconds',
    'The trusted time minus that of the machine',
    ({ clock }) => clock.offsetMs && clock.offsetMs / 1000,
  ),
  one(
    'clock_error_seconds',
    'How far the trusted time may be off',
    ({ clock }) => clock.errorMs && clock.errorMs / 1000,
  ),
  one(
    'buffer_unplaced_readings',
    'Readings stored without a time that have no place in time yet',
    status => status.buffer.unplacedReadings,
  ),
  one('enrolled', '1 when the agent is enrolled', status => (status.enrolment === null ? 0 : 1)),
  eachSource('connections', 'Connections open', source => source.mqtt?.connections),
  eachSource('source_up', '1 while the source hears its sensors', source => (source.state === 'running' ? 1 : 0)),
  {
    name: 'uplink_state',
    help: '1 for the state that the uplink is in',
    labels: ['state'],
    values: ({ uplink }) =>
      uplinkStates.map(state => ({ labels: { state }, value: (uplink?.state ?? 'stopped') === state ? 1 : 0 })),
  },
  {
    name: 'build_info',
    help: 'Always 1',
    labels: ['version'],
    values: ({ version }) => [{ labels: { version }, value: 1 }],
  },
]
