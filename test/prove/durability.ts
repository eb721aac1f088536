/**
 * Promises 1 and 2 under SIGKILL: what was acknowledged is stored, and nothing is stored twice.
 *
 * A real hub with its Postgres, a real agent, devices over MQTT at QoS 1 and 2 that resend with DUP after every cut. Each cycle waits
 * until acknowledgements have flowed for a second, kills its victim with SIGKILL, starts it again and goes on. The moments of
 * the kills are drawn from the seed:
 *   agent / random   anywhere in the next 800 ms
 *   agent / commit   within 5 ms of an acknowledgement: right after a commit
 *   hub / random     anywhere in the next 800 ms
 *   hub / commit     within 5 ms of an answer to a batch
 *   hub / heard      in the instant in which the agent hears an answer
 *   hub / answer     the same, but the answer is swallowed: the hub has stored what the agent never hears of
 *   database / …     every process of the hub's Postgres at once; the hub lives on and has to start it again by itself
 * A cycle without an acknowledgement in the second before its kill does not count. In the end everything drains, and the multisets of
 * (series, time, value bits) that devices saw acknowledged are compared with all rows of the hub's view `reading`.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom, type Random } from '../../firmware-sim/src/signals/random.ts'
import { MqttDevice } from '../../firmware-sim/src/transports/mqtt-device.ts'
import { findPostmaster } from '../../hub/src/database/postmaster.ts'
import { HubProxy } from '../harness/hub-proxy.ts'
import { enrollAgent, hubPool, type RunningAgent, type RunningHub, startAgent, startHub } from '../harness/stack.ts'
import { difference, Multiset, readingKey, storedReadings } from './multiset.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'

const devices = 24
const inFlightEach = 10
/** A device waits this long between bursts, so that an hour of kills stays comparable in memory. */
const burstPauseMs = 60
const drainTimeoutMs = 120_000

const moments = [
  'agent/random',
  'agent/commit',
  'hub/answer',
  'hub/commit',
  'database/heard',
  'agent/random',
  'agent/commit',
  'hub/heard',
  'hub/random',
  'database/random',
] as const
type Moment = (typeof moments)[number]

/** What breaks which program. A run with a sabotage makes only the kills that can show it. */
const sabotages: Readonly<Record<string, Sabotage>> = {
  'ack-before-commit': { agent: 'ack-before-commit', moments: ['agent/random', 'agent/commit'] },
  'no-dup-check': { agent: 'no-dup-check', moments: ['agent/commit', 'agent/random'] },
  'answer-before-append': { hub: 'ack-before-commit', moments: ['database/heard'] },
  'no-identity-check': { hub: 'no-identity-check', moments: ['hub/answer'] },
  'offset-only-skip': { hub: 'offset-only-skip', moments: ['hub/answer'] },
}

interface Sabotage {
  /** The program's own word, in TRIBUTARY_SABOTAGE. */
  readonly agent?: string
  readonly hub?: string
  /** The kills of the full schedule that show it. */
  readonly moments: readonly Moment[]
}

export const durability: Proof = {
  name: 'durability',
  summary: 'SIGKILL of agent and hub under load: nothing acknowledged is lost, nothing is stored twice',
  options: {
    cycles: { type: 'string', value: 'N', default: '20', help: 'kills that count' },
    folder: {
      type: 'string',
      value: 'DIR',
      help: 'keep data and logs there (a temporary folder by default, removed when all is well)',
    },
  },
  quick: ['--cycles', '10'],
  sabotages: Object.keys(sabotages),
  run,
}

async function run(context: ProofContext): Promise<ProofResult> {
  const { values, seed, sabotage, progress, signal } = context
  const cycles = Number(values.cycles)
  const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'tributary-durability-'))
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true })
  const broken = sabotages[sabotage ?? '']
  const env = (word: string | undefined) => (word === undefined ? {} : { env: { TRIBUTARY_SABOTAGE: word } })

  let keep = true
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => (keep ? progress(`data and logs: ${folder}`) : rmSync(folder, { recursive: true, force: true })))
  progress(`starting hub and agent in ${folder}`)
  const hub = await startHub({ folder, ...env(broken?.hub) })
  stopping.defer(() => hub.program.stop())
  const proxy = new HubProxy(hub.port)
  stopping.defer(() => proxy.close())
  const hubUrl = `http://127.0.0.1:${await proxy.listen()}`
  await enrollAgent(folder, hub, hubUrl)
  const agent = await startAgent({ folder, hubUrl, ...env(broken?.agent) })
  stopping.defer(() => agent.program.stop())
  const load = new Load(agent.mqttPort)
  stopping.defer(() => load.abandon())
  const counted = await killCycles({
    cycles,
    hub,
    agent,
    proxy,
    load,
    schedule: broken?.moments ?? moments,
    random: createRandom(String(seed)),
    progress,
    signal,
  })
  progress('draining')
  await load.stop()
  const drained = await drain(agent, hub, load)
  const pool = hubPool(hub.dataDir)
  const stored = await storedReadings(pool)
  await pool.end()
  const { lost, duplicated, examples } = difference(load.sent, load.acknowledged, stored)
  const ok = lost === 0 && duplicated === 0 && drained && counted.total === cycles
  keep = values.folder !== undefined || (!ok && sabotage === undefined)
  return {
    ok,
    figures: {
      cycles: counted.total,
      notCounted: counted.notCounted,
      kills: counted.kills,
      sent: load.sent.size,
      acknowledged: load.acknowledged.size,
      acknowledgedByQos: load.byQos,
      stored: stored.size,
      lost,
      duplicated,
      drained,
      examples,
    },
    targets: [
      target('acknowledged and lost', lost, '=', 0),
      target('stored twice', duplicated, '=', 0),
      target('cycles that count', counted.total, '=', cycles),
    ],
  }
}

interface Cycles {
  readonly cycles: number
  readonly hub: RunningHub
  readonly agent: RunningAgent
  readonly proxy: HubProxy
  readonly load: Load
  /** Taken in turn. */
  readonly schedule: readonly Moment[]
  readonly random: Random
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

async function killCycles(parts: Cycles) {
  const { cycles, hub, agent, proxy, load, schedule, random, progress, signal } = parts
  const kills: Record<string, number> = {}
  let notCounted = 0
  for (let done = 0; done < cycles; ) {
    signal.throwIfAborted()
    await load.flowing(1000)
    const moment = schedule[done % schedule.length]!
    const victim = moment.startsWith('agent/') ? agent.program : hub.program
    const killed = Promise.withResolvers<{ counts: boolean; pid: number }>()
    await atMoment(moment, parts, () => {
      const counts = load.acknowledgedWithinMs(1000) > 0
      const { pid } = victim
      if (moment.startsWith('database/')) killed.resolve({ counts, pid: killDatabase(hub) })
      else killed.resolve({ counts, pid: killIfThere(pid) })
    })
    const { counts, pid } = await killed.promise
    if (moment.startsWith('database/')) await readyAgain(hub, pid)
    else {
      await victim.ended()
      proxy.swallow = false
      await sleep(random.integer(0, 200))
      await victim.start()
    }
    if (!counts) {
      notCounted++
      if (notCounted > cycles) throw new Error('half of the kills came when nothing had been acknowledged for a second')
      continue
    }
    done++
    kills[moment] = (kills[moment] ?? 0) + 1
    progress(`${done}/${cycles} ${moment}: ${load.acknowledged.counts.size} acknowledged`)
  }
  return { total: cycles, notCounted, kills }
}

/** Calls `kill` in the instant that the moment names, without a turn of the event loop between where it can. */
async function atMoment(moment: Moment, { random, proxy, load }: Cycles, kill: () => void): Promise<void> {
  const leadMs = Math.floor(random.uniform() * 800)
  const withinMs = Math.floor(random.uniform() * 6)
  const killSoon = () => (withinMs === 0 ? kill() : setTimeout(kill, withinMs))
  await sleep(leadMs)
  switch (moment) {
    case 'agent/random':
    case 'hub/random':
    case 'database/random':
      return kill()
    case 'agent/commit':
      return load.onceAcknowledged(killSoon)
    case 'hub/commit':
      return proxy.onceAnswered(killSoon)
    case 'hub/heard':
    case 'database/heard':
      return proxy.onceAnswered(kill)
    case 'hub/answer':
      return proxy.onceAnswered(() => {
        proxy.swallow = true
        kill()
      })
    default:
      return moment satisfies never
  }
}

/** The hub has started its Postgres again, and is ready. */
async function readyAgain(hub: RunningHub, killedPid: number): Promise<void> {
  const endMs = Date.now() + 60_000
  for (;;) {
    const { pid = killedPid } = findPostmaster(postgresData(hub)) ?? {}
    if (pid !== killedPid && (await fetch(`${hub.url}/readyz`)).ok) return
    if (Date.now() > endMs) throw new Error('the hub was not ready a minute after its Postgres was killed')
    await sleep(50)
  }
}

function postgresData({ dataDir }: RunningHub): string {
  return join(dataDir, 'postgres', 'data')
}

/** SIGKILL to the postmaster of the hub and to all of its children; its pid. */
function killDatabase(hub: RunningHub): number {
  const postmaster = findPostmaster(postgresData(hub))
  if (postmaster === null) throw new Error(`no Postgres runs in ${hub.dataDir}`)
  const children = readFileSync(`/proc/${postmaster.pid}/task/${postmaster.pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number)
  for (const pid of [postmaster.pid, ...children]) killIfThere(pid)
  return postmaster.pid
}

function killIfThere(pid: number): number {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  return pid
}

/** The agent has nothing left to send and the hub's consumers have read all of their log. */
async function drain(agent: RunningAgent, hub: RunningHub, load: Load): Promise<boolean> {
  const endMs = Date.now() + drainTimeoutMs
  while (Date.now() < endMs) {
    const status = (await (await fetch(`${agent.healthUrl}/status`)).json()) as {
      buffer: { backlogReadings: number; sealedPending: number }
    }
    const lag = await storeLag(hub)
    if (load.outstanding === 0 && status.buffer.backlogReadings === 0 && status.buffer.sealedPending === 0 && lag === 0)
      return true
    await sleep(250)
  }
  return false
}

/** Records of the log that the store has not applied; infinite while the hub cannot tell. */
async function storeLag(hub: RunningHub): Promise<number> {
  const text = await (await fetch(`${hub.url}/metrics`)).text()
  const lag = /^tributary_log_lag_records\{consumer="store"\} (\d+)/m.exec(text)
  return lag === null ? Number.POSITIVE_INFINITY : Number(lag[1])
}

/** Devices that keep messages in flight, and what they sent and saw acknowledged. */
class Load {
  readonly sent = new Multiset()
  readonly acknowledged = new Multiset()
  readonly byQos: Record<string, number> = { '1': 0, '2': 0 }
  outstanding = 0
  readonly #devices: MqttDevice[] = []
  readonly #loops: Promise<void>[] = []
  readonly #recentMs: number[] = []
  #listener: (() => void) | null = null
  #stopping = false

  constructor(port: number) {
    for (let i = 0; i < devices; i++) {
      const device = new MqttDevice({ port, clientId: `proof-${i}`, backoff: { baseMs: 50, capMs: 400 } })
      this.#devices.push(device)
      for (let slot = 0; slot < inFlightEach; slot++) {
        const loop = this.#publish(device, `dev${i}`, slot, i % 2 === 0 ? 1 : 2)
        loop.catch(() => undefined) // abandoned: `stop` has waited for it
        this.#loops.push(loop)
      }
    }
  }

  async #publish(device: MqttDevice, name: string, slot: number, qos: 1 | 2): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const tsUs = Date.now() * 1000 + slot
      const value = n % 50 === 0 ? -0 : Math.fround(20 + Math.sin(n / 9 + slot)) + n / 1e6
      const key = readingKey(name, `m${slot}`, tsUs, value)
      this.sent.add(key)
      this.outstanding++
      const text = Object.is(value, -0) ? '-0.0' : String(value)
      await device.publish(`sensors/${name}/m${slot}`, `{"value":${text},"ts":${tsUs},"seq":${n}}`, qos)
      this.outstanding--
      this.acknowledged.add(key)
      this.byQos[qos]!++
      this.#heard()
      await sleep(burstPauseMs)
    }
  }

  #heard(): void {
    const now = performance.now()
    this.#recentMs.push(now)
    if (this.#recentMs.length > 4096) this.#recentMs.splice(0, 2048)
    const listener = this.#listener
    this.#listener = null
    listener?.()
  }

  onceAcknowledged(listener: () => void): void {
    this.#listener = listener
  }

  acknowledgedWithinMs(ms: number): number {
    const since = performance.now() - ms
    return this.#recentMs.filter(at => at > since).length
  }

  /** Resolves when acknowledgements came in the first and in the last quarter of the past `ms`. */
  async flowing(ms: number): Promise<void> {
    const endMs = Date.now() + 60_000
    for (;;) {
      const now = performance.now()
      const early = this.#recentMs.some(at => at > now - ms && at < now - 0.75 * ms)
      const late = this.#recentMs.some(at => at > now - 0.25 * ms)
      if (early && late) return
      if (Date.now() > endMs) throw new Error('no acknowledgements for a minute: agent or hub did not come back')
      await sleep(50)
    }
  }

  /** No new messages; resolves when all are acknowledged, or after two minutes. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.race([Promise.all(this.#loops), sleep(drainTimeoutMs, undefined, { ref: false })])
  }

  async abandon(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#devices.map(device => device.close()))
  }
}
