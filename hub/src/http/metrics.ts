/** The hub's own numbers for Prometheus: one registry a hub, so that several may run in one process. Labels are bounded sets. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Ingest } from '../ingest/ingest.ts'
import type { LogLag } from '../log/event-log.ts'
import type { FleetBooks } from '../query/read-fleet-books.ts'
import type { FinishedRequest } from './middleware/request-log.ts'

export interface HubMetrics {
  readonly registry: Registry
  finished(request: FinishedRequest): void
}

/** What a consumer did since the start: `duplicates` were left out as repeats, `conflicts` and `poisoned` are dead letters, `lost` are readings that agents report as lost. */
export const consumerCountNames = ['batches', 'readings', 'duplicates', 'conflicts', 'poisoned', 'lost'] as const
export type ConsumerCounts = Record<(typeof consumerCountNames)[number], number>

export interface ConsumerMetrics {
  /** Asked at every scrape. */
  lag(): Promise<ReadonlyMap<string, readonly LogLag[]>>
  counts(): ReadonlyMap<string, Readonly<ConsumerCounts>>
}

export function hubMetrics(ingest: Ingest, consumers: ConsumerMetrics, books: () => Promise<FleetBooks>): HubMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const seconds = new Histogram({
    name: 'tributary_http_request_seconds',
    help: 'Time to answer a request',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
  const { counts } = ingest
  total(registers, 'tributary_ingest_batches_total', 'Batches taken, repeats included', () => counts.batches)
  total(registers, 'tributary_ingest_repeats_total', 'Batches taken that were seen before', () => counts.repeats)
  total(
    registers,
    'tributary_ingest_conflicts_total',
    'Batches refused because the hub has their identity with other contents: is a gateway cloned?',
    () => counts.conflicts,
  )
  total(
    registers,
    'tributary_ingest_readings_total',
    'Readings in batches taken, without repeats',
    () => counts.readings,
  )
  total(registers, 'tributary_ingest_bytes_total', 'Bytes of batches taken', () => counts.bytes)
  new Counter({
    name: 'tributary_ingest_rejected_total',
    help: 'Readings refused by the judge',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset()
      for (const [reason, count] of counts.rejected) this.inc({ reason }, count)
    },
  })
  new Gauge({
    name: 'tributary_ingest_in_flight_bytes',
    help: 'Request bytes being read or waiting for the log',
    registers,
    collect() {
      this.set(ingest.inFlightBytes)
    },
  })
  new Gauge({
    name: 'tributary_log_lag_records',
    help: 'Records of the event log that a consumer has not done yet',
    labelNames: ['consumer'],
    registers,
    async collect() {
      this.reset()
      for (const [consumer, partitions] of await consumers.lag()) {
        this.set({ consumer }, Number(partitions.reduce((sum, one) => sum + one.endOffset - one.nextOffset, 0n)))
      }
    },
  })
  for (const name of consumerCountNames) {
    new Counter({
      name: `tributary_consumer_${name}_total`,
      help: `Of the records that a consumer has done: ${name}`,
      labelNames: ['consumer'],
      registers,
      collect() {
        this.reset()
        for (const [consumer, counts] of consumers.counts()) this.inc({ consumer }, counts[name])
      },
    })
  }
  bookGauges(registers, books)
  return {
    registry,
    finished: ({ method, route, status, seconds: took }) => seconds.observe({ method, route, status }, took),
  }
}

/** All of a scrape share one question. */
function bookGauges(registers: Registry[], books: () => Promise<FleetBooks>): void {
  let asked: Promise<FleetBooks> | null = null
  const ask = () => {
    asked ??= books().finally(() => {
      asked = null
    })
    return asked
  }
  new Gauge({
    name: 'tributary_missing_batches',
    help: 'Batches neither here nor reported lost that their agents hold no longer',
    registers,
    async collect() {
      this.set((await ask()).missingBatches)
    },
  })
  new Gauge({
    name: 'tributary_lost_readings',
    help: 'Readings that agents reported as lost, at most',
    registers,
    async collect() {
      this.set((await ask()).lostReadings)
    },
  })
  new Gauge({
    name: 'tributary_agent_readings',
    help: 'Readings of all agents by what became of them, as their newest batches tell it',
    labelNames: ['fate'],
    registers,
    async collect() {
      const { fates } = await ask()
      this.reset()
      for (const [fate, readings] of Object.entries(fates)) this.set({ fate }, readings)
    },
  })
}

function total(registers: Registry[], name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers,
    collect() {
      this.reset()
      this.inc(read())
    },
  })
}
