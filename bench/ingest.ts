/**
 * Durable MQTT ingest: the agent against aedes + JSON.parse + a SQLite row a reading, both with PUBACK after the commit.
 *
 * 100 clients keep 20 QoS 1 messages in flight each. Server on core 0, load on core 1, the same for every side; the sides run in
 * turn, each run with a fresh folder. `worker` is the agent as shipped, `in-process` the same without its writer thread.
 */
import { type Bench, type BenchContext, type BenchResult, compare, worstOf } from './bench.ts'
import { spawnLoad } from './load/spawn-load.ts'
import { startServer } from './servers/start-server.ts'

const sides = {
  worker: ['servers/agent-ingest.ts', 'worker'],
  'in-process': ['servers/agent-ingest.ts', 'in-process'],
  other: ['other/row-per-reading.ts'],
} as const
type Side = keyof typeof sides

export const ingest: Bench = {
  name: 'ingest',
  summary: 'durable QoS 1 messages a second at the agent, against aedes + row per reading + JSON.parse',
  options: {
    seconds: { type: 'string', value: 'S', default: '3', help: 'load of each run' },
    window: { type: 'string', value: 'MS', default: '5', help: 'commit window of both sides' },
    clients: { type: 'string', value: 'N', default: '100', help: 'clients' },
    'in-flight': { type: 'string', value: 'N', default: '20', help: 'unacknowledged messages of each client' },
  },
  run,
}

async function run({ values, runs, progress }: BenchContext): Promise<BenchResult> {
  const rates: Record<Side, number[]> = { worker: [], 'in-process': [], other: [] }
  const latencies: Record<Side, number[]> = { worker: [], 'in-process': [], other: [] }
  for (let i = 0; i < runs; i++) {
    for (const side of Object.keys(sides) as Side[]) {
      const result = await measure(side, values)
      rates[side].push(Math.round(result.ratePerS))
      latencies[side].push(result.p99Ms)
      progress(
        `run ${i + 1}/${runs} ${side}: ${Math.round(result.ratePerS)} messages/s, ack p50 ${result.p50Ms.toFixed(1)} ms, p99 ${result.p99Ms.toFixed(1)} ms`,
      )
    }
  }
  const comparison = (side: Side) =>
    compare({
      ours: rates[side],
      other: rates.other,
      what: 'aedes, JSON.parse, one SQLite row a reading; same window, WAL, FULL',
      unit: 'messages/s',
      better: 'rate',
      figures: {
        ackP99Ms: latencies[side].map(ms => Math.round(ms)),
        otherAckP99Ms: latencies.other.map(ms => Math.round(ms)),
      },
    })
  return worstOf({ worker: comparison('worker'), 'in-process': comparison('in-process') })
}

async function measure(side: Side, values: Readonly<Record<string, string | undefined>>) {
  const [script, ...mode] = sides[side]
  const server = await startServer(folder => [script, folder, values.window!, ...mode])
  try {
    return await spawnLoad({
      port: server.port,
      clients: Number(values.clients),
      inFlight: Number(values['in-flight']),
      seconds: Number(values.seconds),
      core: 1,
    })
  } finally {
    await server.stop()
  }
}
