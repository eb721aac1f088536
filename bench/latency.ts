/**
 * How long a sensor waits for its acknowledgement at a rate that a plant has, and what memory the agent takes meanwhile.
 *
 * The whole agent as a program, not enrolled, so that everything stays in its buffer; the other side is aedes, JSON.parse and a SQLite row a reading
 * with the same commit window. Paced load of QoS 1 messages from many clients, latency from the moment a message was due; server on core 0,
 * load on core 1; the sides run in turn, each with a fresh folder. `sd` and `ssd` are the storage profiles. The agent has the environment that
 * deploy/ gives it (a small young generation, a cache of compiled code). Resident memory is read from /proc at the end of each run, also at 1,000 messages a
 * second and in a closed loop, at the highest rate that the agent takes.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type StorageProfile, windowMsOf } from '../agent/src/buffer/buffer-config.ts'
import { startAgent } from '../test/harness/stack.ts'
import { type Bench, type BenchContext, type BenchResult, compare, spread, worstOf } from './bench.ts'
import type { LoadResult } from './load/mqtt-load.ts'
import { spawnLoad } from './load/spawn-load.ts'
import { startServer } from './servers/start-server.ts'

export const latency: Bench = {
  name: 'latency',
  summary: 'time until a message is acknowledged at a paced rate, and memory of the agent',
  options: {
    seconds: { type: 'string', value: 'S', default: '5', help: 'load of each run' },
    rate: { type: 'string', value: 'N', default: '5000', help: 'messages a second' },
    clients: { type: 'string', value: 'N', default: '50', help: 'clients' },
  },
  run,
}

interface LoadPlan {
  readonly clients: number
  readonly seconds: number
  readonly perSecond?: number
}

interface Measured extends LoadResult {
  readonly rssMB: number
}

/** As in deploy/systemd/tributary-agent.service and deploy/docker/agent.Dockerfile. */
const nodeOptions = '--max-semi-space-size=2'

const profiles = ['ssd', 'sd'] as const satisfies readonly StorageProfile[]

async function run(context: BenchContext): Promise<BenchResult> {
  const cache = mkdtempSync(join(tmpdir(), 'tributary-compiled-'))
  try {
    return await runWith({ ...process.env, NODE_OPTIONS: nodeOptions, NODE_COMPILE_CACHE: cache }, context)
  } finally {
    rmSync(cache, { recursive: true, force: true })
  }
}

async function runWith(env: NodeJS.ProcessEnv, { values, runs, progress }: BenchContext): Promise<BenchResult> {
  const [seconds, clients, perSecond] = [Number(values.seconds), Number(values.clients), Number(values.rate)]
  const paced = { clients, seconds, perSecond }
  const variants: Record<string, ReturnType<typeof compare>> = {}
  for (const profile of profiles) {
    const windowMs = windowMsOf[profile]
    const [ours, other]: [Measured[], LoadResult[]] = [[], []]
    for (let i = 0; i < runs; i++) {
      ours.push(await loadAgent(profile, paced, env))
      other.push(await loadRowPerReading(windowMs, paced))
      progress(`${profile}, run ${i + 1}/${runs}: ${told(ours.at(-1)!)}; row per reading ${told(other.at(-1)!)}`)
    }
    variants[profile] = compare({
      ours: ours.map(result => rounded(result.p50Ms)),
      other: other.map(result => rounded(result.p50Ms)),
      what: 'aedes, JSON.parse, one SQLite row a reading; same window, WAL, FULL',
      unit: 'ms to the acknowledgement, p50',
      better: 'cost',
      figures: {
        windowMs,
        overWindowMs: rounded(spread(ours.map(result => result.p50Ms)).median - windowMs),
        p99Ms: rounded(spread(ours.map(result => result.p99Ms)).median),
        otherP99Ms: rounded(spread(other.map(result => result.p99Ms)).median),
        acknowledgedPerS: Math.round(spread(ours.map(result => result.ratePerS)).median),
        rssMB: spread(ours.map(result => result.rssMB)).median,
      },
    })
  }
  const memory = (name: string, plan: LoadPlan) => measureMemory({ name, plan, runs, env, progress })
  const quiet = await memory('1,000 messages/s', { clients, seconds, perSecond: 1000 })
  const most = await memory('highest rate', { clients, seconds })
  return { ...worstOf(variants), figures: { at1000PerS: quiet, atHighestRate: most } }
}

interface MemoryPlan {
  readonly name: string
  readonly plan: LoadPlan
  readonly runs: number
  readonly env: NodeJS.ProcessEnv
  progress(text: string): void
}

async function measureMemory({ name, plan, runs, env, progress }: MemoryPlan) {
  const results: Measured[] = []
  for (let i = 0; i < runs; i++) {
    results.push(await loadAgent('ssd', plan, env))
    progress(`${name}, run ${i + 1}/${runs}: ${told(results.at(-1)!)}, ${results.at(-1)!.rssMB} MB`)
  }
  return {
    rssMB: spread(results.map(({ rssMB }) => rssMB)),
    messagesPerS: spread(results.map(({ ratePerS }) => Math.round(ratePerS))),
  }
}

async function loadAgent(profile: StorageProfile, plan: LoadPlan, env: NodeJS.ProcessEnv): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-latency-'))
  try {
    const config = `buffer:\n  storage: ${profile}\n`
    const agent = await startAgent({ folder, config, env, wrapper: ['taskset', '-c', '0'] })
    try {
      const result = await spawnLoad({ port: agent.mqttPort, inFlight: 20, core: 1, ...plan })
      return { ...result, rssMB: rssMB(agent.pid) }
    } finally {
      await agent.program.stop()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function loadRowPerReading(windowMs: number, plan: LoadPlan): Promise<LoadResult> {
  const server = await startServer(folder => ['other/row-per-reading.ts', folder, String(windowMs)])
  try {
    return await spawnLoad({ port: server.port, inFlight: 20, core: 1, ...plan })
  } finally {
    await server.stop()
  }
}

function rssMB(pid: number): number {
  const kB = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kB === undefined) throw new Error(`/proc/${pid}/status names no VmRSS`)
  return Math.round(Number(kB) / 1000)
}

function told({ ratePerS, p50Ms, p99Ms }: LoadResult): string {
  return `${Math.round(ratePerS)} messages/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`
}

function rounded(ms: number): number {
  return Number(ms.toFixed(2))
}
