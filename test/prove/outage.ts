/**
 * Promises 3, 4 and 5 after a long outage: what is new comes first, the backlog drains beside it, nothing is lost without being
 * counted, and neither memory nor start depend on how much waits.
 *
 * First round: hours of readings go into a real agent while its hub is away; it is started again full; then the hub comes back behind a
 * thin line, with live readings beside the drain. Second round: another agent with a buffer too small for its outage, and a bound on
 * its bandwidth: what the hub stores and what stands in the ledger are together what was acknowledged.
 */
import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { AgentStatus } from '../../agent/src/health/agent-status.ts'
import { LiveProbe } from '../harness/live-probe.ts'
import {
  type AgentOptions,
  enrollAgent,
  hubPool,
  type RunningAgent,
  type RunningHub,
  startAgent,
  startHub,
} from '../harness/stack.ts'
import { ThrottledProxy } from '../harness/throttled-proxy.ts'
import { metricsEach, publishPast, storedPast } from './past-readings.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'

const livePerS = 100
const liveTimeoutMs = 60_000
/** Second round: the smallest buffer there is, an outage of about twice what it holds, and the agent's own bound. */
const smallBuffer = '1MiB'
const overflowReadings = 200_000
const boundBytesPerS = 30_000
const settleMs = 1500
const starts = 3

export const outage: Proof = {
  name: 'outage',
  summary:
    'after hours without a hub, live readings come first while the backlog drains; memory and start stay as they were',
  options: {
    hours: { type: 'string', value: 'H', default: '1', help: 'length of the outage, simulated' },
    rate: { type: 'string', value: 'N', default: '80', help: 'readings a second during it' },
    mbit: { type: 'string', value: 'M', default: '0.4', help: 'the line to the hub, Mbit/s' },
    'in-order-below': {
      type: 'string',
      value: 'TIME',
      default: '5s',
      help: 'hub.in_order_below of the agent: a short run drains in less than the 30 s of its default',
    },
    folder: { type: 'string', value: 'DIR', help: 'keep data and logs there (a temporary folder by default)' },
  },
  quick: [],
  sabotages: ['fifo'],
  run,
}

interface Bench {
  readonly context: ProofContext
  readonly folder: string
  readonly hub: RunningHub
  readonly pool: pg.Pool
  readonly stopping: AsyncDisposableStack
}

async function run(context: ProofContext): Promise<ProofResult> {
  const { values, sabotage, progress } = context
  const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'tributary-outage-'))
  mkdirSync(folder, { recursive: true })
  let keep = true
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => (keep ? progress(`data and logs: ${folder}`) : rm(folder, { recursive: true, force: true })))
  progress('starting the hub')
  const hub = await startHub({ folder })
  stopping.defer(() => hub.program.stop())
  const pool = hubPool(hub.dataDir)
  stopping.defer(() => pool.end())
  const bench = { context, folder, hub, pool, stopping }

  const drained = await drainRound(bench)
  const { p99Ms, lost, doubled } = drained
  // Live first is what the sabotage takes away; the second round has nothing to say of it.
  const full = sabotage === undefined ? await overflowRound(bench) : null
  const liveFirst = p99Ms < 5000 && drained.notFound === 0
  const exact = full === null || (full.unaccounted === 0 && full.doubled === 0 && full.inexact === 0)
  const bounded = full === null || full.bandwidthShare <= 1.05
  const ok = lost === 0 && doubled === 0 && drained.done && liveFirst && exact && bounded
  keep = values.folder !== undefined || (!ok && sabotage === undefined)
  return {
    ok,
    figures: { ...drained, ...(full && { overflow: full }) },
    targets: [
      target('live, publish to SQL, p99', p99Ms, '<', 5000, 'ms'),
      target('drain beside it', drained.drainReadingsPerS, '≥', 2000, 'readings/s'),
      target('acknowledged and lost', lost, '=', 0),
      target('stored twice', doubled, '=', 0),
      target('memory while it fills, last fifth to middle one', drained.memoryGrowth, '≤', 0.1),
      target('memory after a start, full to drained', Math.abs(drained.memoryFullToDrained), '≤', 0.1),
      target('start when full', drained.startFullMs, '<', 2000, 'ms'),
      ...(full === null
        ? []
        : [
            target('acknowledged − stored − ledger, buffer too small', full.unaccounted, '=', 0),
            target('bandwidth against its bound', full.bandwidthShare, '≤', 1.05),
          ]),
    ],
  }
}

/** An agent of its own, enrolled through an open line that is cut then. */
async function startRound(
  bench: Bench,
  name: string,
  line: number | null,
  options: Pick<AgentOptions, 'hubKeys' | 'config'>,
) {
  const { context, folder, hub, stopping } = bench
  const own = join(folder, name)
  mkdirSync(own, { recursive: true })
  const proxy = new ThrottledProxy(hub.port, line)
  stopping.defer(() => proxy.close())
  const hubUrl = `http://127.0.0.1:${await proxy.listen()}`
  proxy.mend()
  await enrollAgent({ folder: own, hub, hubUrl })
  proxy.sever()
  context.progress(`${name}: starting the agent, its hub away`)
  const agent = await startAgent({ folder: own, hubUrl, ...options })
  stopping.defer(() => agent.program.stop())
  return { agent, proxy }
}

async function drainRound(bench: Bench) {
  const { context, pool } = bench
  const { values, seed, progress, sabotage } = context
  const [hours, perS] = [Number(values.hours), Number(values.rate)]
  const readings = Math.ceil((hours * 3600 * perS) / metricsEach) * metricsEach
  const lineBytesPerS = (Number(values.mbit) * 1e6) / 8
  const inOrder = sabotage === 'fifo' ? '24h' : (values['in-order-below'] ?? '30s')
  const { agent, proxy } = await startRound(bench, 'drain', lineBytesPerS, { hubKeys: { in_order_below: inOrder } })
  const rss: number[] = []
  const beganMs = performance.now()
  const onProgress = async () => void rss.push((await statusOf(agent)).rssBytes)
  const acknowledged = await publishPast({ mqttPort: agent.mqttPort, readings, perS, seed, onProgress })
  const fillS = (performance.now() - beganMs) / 1000
  const { buffer } = await statusOf(agent)
  progress(`${acknowledged} readings in ${fillS.toFixed(1)} s; starting the agent again, full`)
  const startFullMs = await medianStartMs(agent)
  const full = await statusOf(agent)

  progress('the hub is back')
  const agentId = full.enrolment?.agentId ?? ''
  const probe = new LiveProbe({ pool, agentId, mqttPort: agent.mqttPort, perS: livePerS })
  probe.start()
  proxy.mend()
  const drain = await waitForDrain(agent, acknowledged, proxy)
  const { published, notFound, p50Ms, p99Ms } = await probe.stop(liveTimeoutMs)
  const { stored, distinct } = await settledCount(pool, agentId, acknowledged)
  const { losses } = (await statusOf(agent)).buffer
  progress('starting the agent again, drained')
  const startDrainedMs = await medianStartMs(agent)
  const drained = await statusOf(agent)
  return {
    hours,
    readingsASecond: perS,
    acknowledged,
    fillReadingsPerS: Math.round(acknowledged / fillS),
    bufferBytes: buffer.bytes,
    bufferFiles: buffer.files,
    startFullMs,
    startDrainedMs,
    rssFilling: fifth(rss, 2),
    rssFilled: fifth(rss, 4),
    rssStartedFull: full.rssBytes,
    rssDraining: drain.rssBytes,
    rssStartedDrained: drained.rssBytes,
    memoryGrowth: fifth(rss, 4) / fifth(rss, 2) - 1,
    memoryFullToDrained: full.rssBytes / drained.rssBytes - 1,
    drainS: drain.seconds,
    drainReadingsPerS: Math.round(drain.readings / drain.seconds),
    lanesApart: drain.apart,
    done: drain.done,
    live: published,
    notFound,
    p50Ms,
    p99Ms,
    stored,
    lost: acknowledged - distinct,
    doubled: stored - distinct,
    losses: losses.length,
  }
}

/** Of several starts; the last one has settled when it resolves. */
async function medianStartMs(agent: RunningAgent): Promise<number> {
  const took: number[] = []
  for (let start = 0; start < starts; start++) {
    await agent.program.stop()
    const beganMs = performance.now()
    await agent.program.start()
    took.push(Math.round(performance.now() - beganMs))
  }
  await sleep(settleMs)
  return median(took)
}

/** Median of the samples of a fifth, 0 the first. */
function fifth(samples: readonly number[], which: number): number {
  const length = Math.floor(samples.length / 5)
  return median(samples.slice(which * length, (which + 1) * length))
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

/** The round with a buffer that is too small. */
async function overflowRound(bench: Bench) {
  const { context, pool } = bench
  const { seed, progress } = context
  const { agent, proxy } = await startRound(bench, 'overflow', null, {
    hubKeys: { max_bandwidth: `${boundBytesPerS}B`, in_order_below: '1s' },
    config: `buffer:\n  max_bytes: ${smallBuffer}\n`,
  })
  const acknowledged = await publishPast({ mqttPort: agent.mqttPort, readings: overflowReadings, perS: 100, seed })
  const { buffer, enrolment } = await statusOf(agent)
  const { evicted } = buffer.counters
  progress(`${acknowledged} readings, ${evicted} of them given up; the hub is back`)
  proxy.bytesUp = 0
  proxy.mend()
  const drain = await waitForDrain(agent, buffer.backlogReadings, proxy)
  const after = (await statusOf(agent)).buffer
  const agentId = enrolment?.agentId ?? ''
  const { stored, distinct } = await settledCount(pool, agentId, acknowledged - after.counters.evicted)
  const ledger = after.losses.reduce((sum, { readings }) => sum + readings, 0)
  const told = await ledgerAtHub(pool, agentId)
  return {
    acknowledged,
    evicted: after.counters.evicted,
    ledger,
    ledgerAtHub: told,
    stored,
    unaccounted: acknowledged - distinct - ledger,
    doubled: stored - distinct,
    inexact: after.losses.filter(({ exact }) => !exact).length,
    bandwidthShare: drain.bytesPerS / boundBytesPerS,
  }
}

/** Until nothing of the backlog waits; its rate over the time in which it flowed, and the agent's memory in the middle of it. */
async function waitForDrain(agent: RunningAgent, backlog: number, proxy: ThrottledProxy) {
  const limitMs = Date.now() + Math.max(120_000, backlog)
  let began: { ms: number; left: number; bytes: number } | null = null
  let apart = false
  let rssBytes = 0
  for (;;) {
    const { uplink, buffer, rssBytes: rss } = await statusOf(agent)
    const left = buffer.backlogReadings
    began ??= left < backlog - 2000 ? { ms: performance.now(), left, bytes: proxy.bytesUp } : null
    apart ||= uplink?.apart ?? false
    if (rssBytes === 0 && left < backlog / 2) rssBytes = rss
    // Live readings are under way at any time.
    const done = left < 10 * livePerS
    if (done || Date.now() > limitMs) {
      const seconds = began ? (performance.now() - began.ms) / 1000 : Infinity
      const bytesPerS = began ? (proxy.bytesUp - began.bytes) / seconds : 0
      return { done, seconds, readings: (began?.left ?? left) - left, bytesPerS, apart, rssBytes }
    }
    await sleep(100)
  }
}

/** The hub's consumers may be behind the log. */
async function settledCount(pool: pg.Pool, agentId: string, expected: number) {
  for (const endMs = Date.now() + 60_000; ; await sleep(500)) {
    const found = await storedPast(pool, agentId)
    if (found.distinct >= expected || Date.now() > endMs) return found
  }
}

async function ledgerAtHub(pool: pg.Pool, agentId: string): Promise<number> {
  const { rows } = await pool.query<{ readings: number }>(
    'select coalesce(sum(l.readings), 0)::float8 as readings from loss l join agent a using (agent_no) where a.agent_id = $1',
    [agentId],
  )
  return rows[0]?.readings ?? 0
}

async function statusOf(agent: RunningAgent): Promise<AgentStatus> {
  return (await (await fetch(`${agent.healthUrl}/status`)).json()) as AgentStatus
}
