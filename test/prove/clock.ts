/**
 * Promise 6: the right time without a battery clock; a bad clock harms only its own device.
 *
 * A real agent runs as on another machine (clock/machine.ts), whose clock starts in 1970, ten years ahead, a day behind, or runs 5 % fast,
 * and is set forwards and backwards while it runs. Devices publish without a break, with and without times of their own. Lives end by
 * SIGKILL, before trust or after it, and go on within the boot or in the next one. At the end every acknowledged reading is compared with
 * what the hub stored (clock/judge-stamps.ts), and how long a reading took from the device to SQL while there was a hub.
 */
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { createRandom, type Random } from '../../firmware-sim/src/signals/random.ts'
import { agentStatus, drain } from '../harness/drain.ts'
import { HubProxy } from '../harness/hub-proxy.ts'
import { LiveProbe } from '../harness/live-probe.ts'
import { enrollAgent, hubPool, type RunningAgent, type RunningHub, startAgent, startHub } from '../harness/stack.ts'
import { type BootTruth, type Judgement, judgeStamps, type Stored, toleranceMs } from './clock/judge-stamps.ts'
import { Machine } from './clock/machine.ts'
import { metric, StampedLoad } from './clock/stamped-load.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'

const hourMs = 3600_000
const dayMs = 24 * hourMs
const devices = 6
const liveBoundMs = 5000
/** A life that meets the hub goes on so long without it, twice. */
const aloneMs = 600
const trustTimeoutMs = 20_000
const drainTimeoutMs = 60_000

/**
 * How a life of the agent goes: at which wrong time its machine boots (null: it does not, the agent starts again within the boot), how
 * fast its clocks run, whether it hears of its hub before it ends, and for how long.
 */
interface Life {
  readonly name: string
  readonly wallMs: ((nowMs: number) => number) | null
  readonly rate: number
  readonly meetsHub: boolean
  readonly lastsMs: number
}

const lives: readonly Life[] = [
  { name: '1970, no hub', wallMs: () => 2 * dayMs, rate: 0, meetsHub: false, lastsMs: 1200 },
  { name: '1970', wallMs: () => 2 * dayMs, rate: 0, meetsHub: true, lastsMs: 1500 },
  { name: 'ten years ahead', wallMs: now => now + 3652 * dayMs, rate: 200e-6, meetsHub: true, lastsMs: 1500 },
  { name: 'again within the boot', wallMs: null, rate: 0, meetsHub: true, lastsMs: 1000 },
  { name: 'a day behind, no hub', wallMs: now => now - dayMs, rate: 0, meetsHub: false, lastsMs: 1000 },
  { name: 'again without a hub', wallMs: null, rate: 0, meetsHub: false, lastsMs: 800 },
  { name: '5 % fast', wallMs: now => now, rate: 0.05, meetsHub: true, lastsMs: 9000 },
]

export const clock: Proof = {
  name: 'clock',
  summary: 'wrong, jumping and drifting clocks of a gateway: readings get the right time, or say that it is uncertain',
  options: {
    cycles: {
      type: 'string',
      value: 'N',
      default: '14',
      help: 'lives of the agent, most of them in a boot of their own',
    },
    folder: { type: 'string', value: 'DIR', help: 'keep data and logs there (a temporary folder by default)' },
  },
  quick: ['--cycles', '7'],
  sabotages: ['wall-stamps'],
  run,
}

interface Bench {
  readonly context: ProofContext
  readonly random: Random
  readonly hub: RunningHub
  readonly pool: pg.Pool
  readonly proxy: HubProxy
  readonly machine: Machine
  readonly agent: RunningAgent
  readonly load: StampedLoad
  readonly boots: BootTruth[]
  readonly live: number[]
  steps: number
}

async function run(context: ProofContext): Promise<ProofResult> {
  const { values, seed, sabotage, progress } = context
  const folder = realpathSync(values.folder ? made(values.folder) : mkdtempSync(join(tmpdir(), 'tributary-clock-')))
  let keep = true
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => (keep ? progress(`data and logs: ${folder}`) : rm(folder, { recursive: true, force: true })))
  progress(`starting hub and agent in ${folder}`)
  const hub = await startHub({ folder })
  stopping.defer(() => hub.program.stop())
  const pool = hubPool(hub.dataDir)
  stopping.defer(() => pool.end())
  const proxy = new HubProxy(hub.port)
  stopping.defer(() => proxy.close())
  const hubUrl = `http://127.0.0.1:${await proxy.listen()}`
  await enrollAgent({ folder, hub, hubUrl })
  const machine = new Machine(folder)
  const boots = [bootInto(machine, lives[0]!)]
  proxy.sever()
  const env = { ...machine.env, ...(sabotage && { TRIBUTARY_SABOTAGE: sabotage }) }
  // NTP of the machine that the proof runs on would vouch for a clock that is not its own.
  const agent = await startAgent({ folder, hubUrl, env, config: 'clock:\n  trust: [hub]\n' })
  stopping.defer(() => agent.program.stop())
  const load = new StampedLoad(agent.mqttPort, devices)
  stopping.defer(() => load.stop())
  const random = createRandom(String(seed), 'clock')
  const bench: Bench = { context, random, hub, pool, proxy, machine, agent, load, boots, live: [], steps: 0 }

  await play(bench, Number(values.cycles))
  progress('draining')
  await load.stop()
  const drained = await drain(agent, hub, drainTimeoutMs)
  const { buffer } = await agentStatus(agent)
  const judged = judgeStamps(load.sent, await storedStamps(pool), boots)
  const ok = isWell(judged) && drained && buffer.counters.evicted === 0 && Math.max(0, ...bench.live) < liveBoundMs
  keep = values.folder !== undefined || (!ok && sabotage === undefined)
  const liveMs = Math.round(Math.max(0, ...bench.live))
  return {
    ok,
    figures: { boots: boots.length, stepsOfTheWallClock: bench.steps, drained, liveMs, ...judged },
    targets: [
      target('acknowledged and lost', judged.lost, '=', 0),
      target('stored twice', judged.doubled, '=', 0),
      target('trusted time, farthest from the truth', Math.round(judged.worstMs), '≤', toleranceMs, 'ms'),
      target('uncertain time outside its interval', judged.outsideInterval, '=', 0),
      target('wrong quality', judged.wrongQuality, '=', 0),
      target('out of order within a boot', judged.disordered, '=', 0),
      target('time of a payload changed', judged.ownTimeChanged, '=', 0),
      target('longest from device to SQL, with a hub', liveMs, '<', liveBoundMs, 'ms'),
    ],
  }
}

function isWell(judged: Judgement): boolean {
  const { lost, doubled, wrongTime, outsideInterval, wrongQuality, disordered, ownTimeChanged, exact, uncertain } =
    judged
  const faults = lost + doubled + wrongTime + outsideInterval + wrongQuality + disordered + ownTimeChanged
  return faults === 0 && exact > 0 && uncertain > 0
}

/** One life after another; the last one meets the hub, whatever it is, so that all can be told. */
async function play(bench: Bench, cycles: number): Promise<void> {
  const { context, agent, machine, load, boots, random } = bench
  for (let cycle = 0; cycle < cycles; cycle++) {
    context.signal.throwIfAborted()
    const life = lives[cycle % lives.length]!
    if (cycle > 0) {
      process.kill(agent.program.pid, 'SIGKILL')
      await agent.program.ended()
      await sleep(random.integer(0, 300))
      if (life.wallMs !== null) {
        boots.push(bootInto(machine, life))
        load.boot = boots.length - 1
      }
      bench.proxy.sever()
      await agent.program.start()
    }
    await live(bench, { ...life, meetsHub: life.meetsHub || cycle === cycles - 1 })
    const { acknowledged } = load
    context.progress(
      `${cycle + 1}/${cycles} ${life.name}: ${acknowledged} acknowledged, live in ${ms(bench.live.at(-1))}`,
    )
  }
}

/** Some of it without the hub, then with it; in between and at the end somebody sets the wall clock. */
async function live(bench: Bench, { meetsHub, lastsMs }: Life): Promise<void> {
  const { proxy, boots, agent, pool } = bench
  const boot = boots.at(-1)!
  const alone = meetsHub ? aloneMs : lastsMs / 2
  await sleep(alone)
  stepWall(bench)
  await sleep(alone)
  if (!meetsHub) return
  proxy.mend()
  await trusted(agent, boot)
  const { enrolment } = await agentStatus(agent)
  const probe = new LiveProbe({ pool, agentId: enrolment?.agentId ?? '', mqttPort: agent.mqttPort, perS: 20 })
  probe.start()
  stepWall(bench)
  await sleep(lastsMs)
  stepWall(bench)
  await sleep(500)
  const { p99Ms } = await probe.stop(2 * liveBoundMs)
  bench.live.push(p99Ms)
  boot.endedTrustedMs = Date.now()
}

async function trusted(agent: RunningAgent, boot: BootTruth): Promise<void> {
  for (const endMs = Date.now() + trustTimeoutMs; Date.now() < endMs; await sleep(50)) {
    const { clock: found } = await agentStatus(agent)
    if (!found.trusted) continue
    boot.trustedMs ??= Date.now()
    boot.endedTrustedMs = Date.now()
    // The buffer has it a moment later, and only then does it outlive a kill.
    await sleep(500)
    return
  }
}

/** By up to two days, forwards or back. */
function stepWall(bench: Bench): void {
  bench.machine.stepWall(bench.random.integer(-2 * dayMs, 2 * dayMs))
  bench.steps++
}

function bootInto(machine: Machine, { wallMs, rate }: Life): BootTruth {
  const startedMs = machine.boot({ wallMs: wallMs?.(Date.now()) ?? Date.now(), rate })
  return { startedMs, trustedMs: null, endedTrustedMs: null }
}

async function storedStamps(pool: pg.Pool): Promise<Stored[]> {
  const { rows } = await pool.query<{ device: string; n: number; us: string; quality: number }>(
    `select s.device, r.value as n, (extract(epoch from r.ts) * 1e6)::bigint::text as us, r.quality
     from reading r join series s using (series_id) where s.device like 'clocked%' and s.metric = $1`,
    [metric],
  )
  return rows.map(row => ({ ...row, us: Number(row.us) }))
}

function ms(value: number | undefined): string {
  return value === undefined ? '–' : `${Math.round(value)} ms`
}

function made(folder: string): string {
  mkdirSync(folder, { recursive: true })
  return folder
}
