/**
 * The demo: hub, agent and devices as real processes and connections, on embedded defaults, and what came of it.
 *
 *   press-1 (recorded), machine-001…050 ──MQTT──┐
 *                             serial-1 ──serial─┴ agent ══ proxy ══ hub ── page
 *                                              SIGKILL      cut
 *
 * The recording, 79 days of a real machine's temperature with four known failures, is moved so that it ends at the start of the demo, and
 * replayed fast. Everything that is started is stopped at the end, in reverse order, however that comes: the time is over, a signal
 * fires during the start or later, or a program ends by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Pool } from 'pg'
import { openPtyPair, type PtyPair } from '../firmware-sim/src/transports/pty.ts'
import { drain } from '../test/harness/drain.ts'
import { HubProxy } from '../test/harness/hub-proxy.ts'
import { difference, storedReadings } from '../test/harness/multiset.ts'
import {
  enrollAgent,
  hubPool,
  type RunningAgent,
  type RunningHub,
  startAgent,
  startHub,
  stopHub,
} from '../test/harness/stack.ts'
import { Account } from './account.ts'
import { labelsFile, measureRecording, playMachines, playRecording, press, serialDevice } from './devices.ts'
import { bytesPerReading, findSeriesId, listAlerts, type Progress, readProgress } from './hub-figures.ts'
import { matchAlerts, readKnownFailures } from './known-failures.ts'
import { type Disturbance, Latency } from './latency.ts'
import { makeMishaps } from './mishaps.ts'
import { claimPort } from './port-claim.ts'
import type { DemoResult } from './result.ts'
import type { StatusLine } from './status-line.ts'

/** Where people look for a hub and a broker; free ports are taken where they are not free. */
const wellKnown = { hub: 8080, mqtt: 1883 }

/** The recording takes three quarters of this, or of the whole demo where that is shorter. */
const storyMs = 40_000
const statusEveryMs = 500
const drainMs = 30_000
/** A slow machine takes longer for the recording than planned: the demo then ends later than asked for. */
const replayMayLagMs = 120_000

export interface DemoOptions {
  readonly folder: string
  /** From the first publish to the last; longer where the recording is not through by then. */
  readonly forMs: number
  readonly status: StatusLine
  /** Whether a person sees it, who needs the key of the page. */
  readonly showKey: boolean
  /** Enough: stop publishing, wait for what is on its way, and say what came of it. */
  readonly signal: AbortSignal
  /** Now: stop what was started, and count nothing. */
  readonly atOnce: AbortSignal
}

/** Throws `aborted` when it was stopped before there was anything to count. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  await using started = new AsyncDisposableStack()
  const broken = new AbortController()
  const cut = AbortSignal.any([options.atOnce, broken.signal])
  try {
    const parts = await build(options, started, error => broken.abort(error))
    return await Promise.race([play({ ...options, ...parts, cut }), rejection(cut)])
  } catch (cause) {
    if (broken.signal.aborted) throw broken.signal.reason
    throw options.signal.aborted ? new TributaryError('aborted', 'stopped before it had a result', { cause }) : cause
  } finally {
    options.status.step('stopping')
  }
}

/** Never resolves; rejects when the signal fires. */
function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** Starts every part; `started` knows how to stop it. */
async function build(
  options: DemoOptions,
  started: AsyncDisposableStack,
  onUnexpectedEnd: (error: TributaryError) => void,
): Promise<Parts> {
  const { folder, signal } = options
  const { step } = options.status
  const common = { folder, signal, onStep: step, onUnexpectedEnd }
  step('starting the hub with a Postgres of its own')
  const hub = await startHub({ ...common, preferredPort: wellKnown.hub })
  started.defer(() => stopHub(hub))
  const proxy = new HubProxy(hub.port)
  started.defer(() => proxy.close())
  const hubUrl = `http://127.0.0.1:${await proxy.listen()}`
  step('enrolling an agent')
  await enrollAgent({ folder, hub, hubUrl, site: 'demo-plant', signal })
  const serial = await openSerial(step)
  if (serial !== null) started.defer(() => serial.close())
  step('starting the agent')
  const claim = await claimPort(wellKnown.mqtt)
  if (claim !== null) started.use(claim)
  const agent = await startAgent({
    ...common,
    hubUrl,
    ...(claim && { preferredPort: wellKnown.mqtt }),
    config: serialConfig(serial),
  })
  started.defer(() => agent.program.stop())
  const pool = hubPool(hub.dataDir)
  started.defer(() => pool.end())
  pool.on('error', () => undefined) // the next query says so
  announce(options, hub, agent, serial)
  return { hub, agent, proxy, serial, pool }
}

interface Parts {
  readonly hub: RunningHub
  readonly agent: RunningAgent
  readonly proxy: HubProxy
  readonly serial: PtyPair | null
  readonly pool: Pool
}

interface Stage extends Parts, DemoOptions {
  /** Nothing more is waited for. */
  readonly cut: AbortSignal
}

async function play(stage: Stage): Promise<DemoResult> {
  const { agent, proxy, serial, pool, forMs, status, signal, cut } = stage
  const latency = new Latency(pool, ({ device, metric }) => /^machine-\d\d[05]$/.test(device) && metric === 'power')
  const accounts = { mqtt: new Account(latency.sent), serial: new Account() }
  const endUs = Date.now() * 1000
  const spanMs = Math.min(storyMs, forMs)
  const startupMs = Math.round(performance.now())

  const stopped = AbortSignal.any([signal, cut, AbortSignal.timeout(forMs + replayMayLagMs)])
  const over = new AbortController()
  const counted = new AbortController()
  const watching = [latency.watch(counted.signal), showProgress(stage, accounts, latency, counted.signal)]
  try {
    const mqttPort = agent.mqttPort
    const devices = { mqttPort, serial, accounts, replayMs: spanMs * 0.75, endUs }
    const replayed = playRecording({ ...devices, signal: stopped })
    const timeIsUp = sleep(forMs, undefined, { signal: stopped }).catch(() => undefined)
    const [disturbances] = await Promise.all([
      makeMishaps({ proxy, agent, spanMs, note: status.step, signal: over.signal, cut }),
      playMachines({ ...devices, signal: over.signal }),
      Promise.all([replayed, timeIsUp]).finally(() => over.abort()),
    ])
    status.step('stopped publishing; waiting for what is on its way (Ctrl-C: not any more)')
    if (!(await drain(agent, stage.hub, drainMs))) status.step(`not everything arrived within ${drainMs / 1000} s`)
    return await judge(stage, { accounts, latency, disturbances, endUs, startupMs })
  } finally {
    counted.abort()
    await Promise.allSettled(watching)
  }
}

interface Played {
  readonly accounts: { readonly mqtt: Account; readonly serial: Account }
  readonly latency: Latency
  readonly disturbances: readonly Disturbance[]
  readonly endUs: number
  readonly startupMs: number
}

async function judge({ hub, pool, serial }: Stage, played: Played): Promise<DemoResult> {
  const { mqtt, serial: line } = played.accounts
  // A person may publish too, also under a name of the demo's: that is no reading of the demo.
  const storedOf = ({ sent }: Account) => storedReadings(pool, key => sent.counts.has(key))
  const stored = { mqtt: await storedOf(mqtt), serial: await storedOf(line) }
  const found = [difference(mqtt.sent, mqtt.acked, stored.mqtt), difference(line.sent, line.acked, stored.serial)]
  const sum = (of: 'lost' | 'duplicated') => found.reduce((total, one) => total + one[of], 0)
  const alerts = await listAlerts(hub)
  const { moveUs } = await measureRecording(played.endUs)
  const failures = readKnownFailures(labelsFile, moveUs)
  const matched = matchAlerts(alerts, failures, press)
  const { latency, disturbances } = played
  return {
    startupMs: played.startupMs,
    sent: mqtt.sentCount + line.sentCount,
    acked: mqtt.ackedCount + line.ackedCount,
    stored: stored.mqtt.size + stored.serial.size,
    lost: sum('lost'),
    duplicated: sum('duplicated'),
    serial: serial === null ? null : { sent: line.sentCount, stored: stored.serial.size },
    anomalies: alerts.length,
    labelledWindows: failures.length,
    labelledFound: matched.found,
    falseAlarms: matched.falseAlarms,
    bytesPerReading: await bytesPerReading(hub),
    latencyMs: {
      p50: latency.quantile(0.5),
      p99: latency.quantile(0.99),
      p99WithoutCut: latency.quantile(0.99, disturbances),
    },
  }
}

async function showProgress(stage: Stage, accounts: Played['accounts'], latency: Latency, signal: AbortSignal) {
  const { mqtt, serial } = accounts
  let curve: number | null = null
  while (!signal.aborted) {
    if (curve === null) {
      curve = await findSeriesId(stage.pool, press.device, press.metric).catch(() => null)
      if (curve !== null) stage.status.step(`the machine's curve: ${stage.hub.url}/#/series?ids=${curve}&range=90d`)
    }
    // A Postgres that was killed is back within seconds; until then the line stands still.
    const progress = await readProgress(stage.hub, stage.agent, stage.pool).catch(() => null)
    const sent = mqtt.sentCount + serial.sentCount
    const acked = mqtt.ackedCount + serial.ackedCount
    if (progress !== null) stage.status.show(fieldsOf(sent, acked, progress, latency.quantile(0.5)))
    await sleep(statusEveryMs, undefined, { signal }).catch(() => undefined)
  }
}

/** With five digits they fit into 80 columns: `wire` is bytes a reading on the network, `p50` the median from a reading to its row. */
function fieldsOf(sent: number, acked: number, progress: Progress, p50: number | null): string[] {
  const { stored, backlog, bytesPerReading: bytes, alerts } = progress
  return [
    `sent ${sent}`,
    `acked ${acked}`,
    `stored ${stored}`,
    `backlog ${backlog ?? '–'}`,
    `alerts ${alerts}`,
    `wire ${bytes?.toFixed(1) ?? '–'}B`,
    `p50 ${p50 === null ? '–' : Math.round(p50)}ms`,
  ]
}

async function openSerial(step: (text: string) => void): Promise<PtyPair | null> {
  try {
    return await openPtyPair()
  } catch (error) {
    step(`without the serial device: ${messageOf(error)}`)
    return null
  }
}

function serialConfig(serial: PtyPair | null): string {
  if (serial === null) return ''
  return `serial:\n  - name: demo\n    path: ${serial.path}\n    framing: acknowledged\n    device: ${serialDevice}\n`
}

function announce(
  { status: { note }, showKey }: DemoOptions,
  hub: RunningHub,
  agent: RunningAgent,
  serial: PtyPair | null,
): void {
  note('')
  note(`  page    ${hub.url}`)
  if (showKey) note(`  key     ${hub.adminKey}`)
  note(`  mqtt    mosquitto_pub -p ${agent.mqttPort} -q 1 -t sensors/me/temperature -m 21.5`)
  if (serial !== null) note(`  serial  ${serial.path}`)
  note('  Ctrl-C stops everything that was started')
  note('')
}
