/**
 * Promise 8 on serial lines: a cable that is pulled and plugged in again is read again within 5 s, and no other source notices.
 *
 * The agent reads a port by a name that stays (a symbolic link, as under /dev/serial/by-id) while the device behind it changes: a new
 * pseudo-terminal at every cycle, under the same or another number, at once or after a while, sometimes held by another program or
 * without permission first. A second serial line and MQTT devices go on meanwhile, and their longest pause is measured. There is no
 * hub: at the end everything acknowledged has to be in the buffer, once.
 */
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SerialPort } from 'serialport'
import { createRandom, type Random } from '../../firmware-sim/src/signals/random.ts'
import { difference } from '../harness/multiset.ts'
import { startAgent } from '../harness/stack.ts'
import { requirePrograms } from '../system/requirements.ts'
import { DeliveryBook } from './delivery-book.ts'
import { DeviceLoad } from './device-load.ts'
import { readBuffer } from './fault-agent.ts'
import { withoutPrivileges } from './faults/live-faults.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'
import { SerialLoad } from './serial-load.ts'
import { spreadMs } from './spread-ms.ts'

/**
 *   other-number   back under the link as another device
 *   same-number    back as the device that it was, if the kernel gives it the same number
 *   at-once        pulled and back within 50 ms
 *   busy           back, but another program holds it for a while
 *   forbidden      back, but without permission for a while
 *   after-long     back after so long that every backoff has grown to its longest
 */
const kinds = ['other-number', 'at-once', 'busy', 'same-number', 'forbidden', 'other-number', 'after-long'] as const
type Kind = (typeof kinds)[number]

const pulled = 'pulled'
const steady = 'steady'
const mqttDevices = 4
const maxBackMs = 5000
const maxPauseMs = 2000
const patienceMs = 15_000

export const hotplug: Proof = {
  name: 'hotplug',
  summary: 'serial lines that are pulled and come back are read again within 5 s, and no other source notices',
  options: { cycles: { type: 'string', value: 'N', default: '200', help: 'times that the line is pulled' } },
  quick: ['--cycles', '10'],
  sabotages: ['other-name'],
  run,
}

interface Cycle {
  readonly kind: Kind
  /** From the moment when the port could be opened until a line of it was acknowledged; null: not within `patienceMs`. */
  readonly backMs: number | null
  /** The longest that another source was silent meanwhile. */
  readonly pauseMs: number
}

async function run(context: ProofContext): Promise<ProofResult> {
  const { values, seed, sabotage, progress, signal } = context
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tributary-hotplug-')))
  await using stopping = new AsyncDisposableStack()
  stopping.defer(() => rm(folder, { recursive: true, force: true }))
  const linkFolder = join(folder, 'by-id')
  mkdirSync(linkFolder)
  const link = join(linkFolder, 'press1')
  const book = new DeliveryBook([...DeviceLoad.lanes, steady, pulled])
  const steadyLine = await SerialLoad.open({ book, name: steady })
  stopping.defer(() => steadyLine.pull())
  // The line that is pulled comes after the agent has started: a child that inherits it would keep it up.
  const agent = await startAgent({
    folder,
    config: serialConfig({ [pulled]: link, [steady]: steadyLine.path }),
    ...privileges(),
  })
  stopping.defer(() => agent.program.stop())
  const devices = new DeviceLoad(agent.mqttPort, book, mqttDevices)
  stopping.defer(() => devices.abandon())

  const cable = new Cable(book, sabotage === 'other-name' ? `${link}-2` : link)
  stopping.defer(() => cable.pull())
  const done = (context.resume.load() ?? []) as Cycle[]
  for (let index = done.length; index < Number(values.cycles); index++) {
    signal.throwIfAborted()
    const random = createRandom(String(seed), `cycle ${index}`)
    const cycle = await runCycle(kinds[index % kinds.length]!, cable, book, random)
    done.push(cycle)
    context.resume.save(done)
    progress(
      `${index + 1}/${values.cycles} ${cycle.kind}: ${cycle.backMs === null ? 'not read again' : `read again after ${Math.round(cycle.backMs)} ms`}, the others silent for at most ${Math.round(cycle.pauseMs)} ms`,
    )
    if (cycle.backMs === null) break
  }
  await cable.pull()
  await Promise.all([devices.stop(), steadyLine.stop()])
  await agent.program.stop()
  const { stored, losses } = await readBuffer(agent.dataDir)
  return resultOf(done, Number(values.cycles), {
    book,
    ...difference(book.sent, book.acknowledged, stored),
    losses: losses.length,
  })
}

/** As root, without the rights that pass by permissions. */
function privileges() {
  if (process.getuid?.() !== 0) return {}
  requirePrograms('setpriv')
  return { wrapper: withoutPrivileges }
}

function serialConfig(ports: Readonly<Record<string, string>>): string {
  const lines = Object.entries(ports).map(
    ([name, path]) => `  - { name: ${name}, path: ${path}, framing: acknowledged }`,
  )
  return `serial:\n${lines.join('\n')}\n`
}

/** The device at the end of the cable, and the link by which the agent knows it. */
class Cable {
  readonly #book: DeliveryBook
  readonly #link: string
  #load: SerialLoad | null = null

  constructor(book: DeliveryBook, link: string) {
    this.#book = book
    this.#link = link
  }

  async pull(): Promise<void> {
    rmSync(this.#link, { force: true })
    await this.#load?.pull()
    this.#load = null
  }

  /** A device that is not plugged in yet. */
  next(): Promise<SerialLoad> {
    return SerialLoad.open({ book: this.#book, name: pulled })
  }

  plug(load: SerialLoad): void {
    this.#load = load
    symlinkSync(load.path, this.#link)
  }
}

async function runCycle(kind: Kind, cable: Cable, book: DeliveryBook, random: Random): Promise<Cycle> {
  const awayMs = { 'at-once': random.integer(0, 50), 'after-long': 9000 }[kind as string] ?? random.integer(100, 1500)
  const heldMs = random.integer(300, 2500)
  await sleep(random.integer(200, 800))
  await book.flowing(500, DeviceLoad.lanes)
  book.startPauses()
  const other = kind === 'same-number' ? null : await cable.next()
  await cable.pull()
  await sleep(awayMs)
  const load = other ?? (await cable.next())
  if (kind === 'busy') await heldByAnother(load.path, () => cable.plug(load), heldMs)
  else if (kind === 'forbidden') await withoutPermission(load.path, () => cable.plug(load), heldMs)
  else cable.plug(load)
  const backMs = await firstAcknowledgement(book)
  const pauseMs = Math.max(...[...DeviceLoad.lanes, steady].map(lane => book.longestPauseMs(lane)))
  return { kind, backMs, pauseMs }
}

async function heldByAnother(path: string, plug: () => void, ms: number): Promise<void> {
  const holder = new SerialPort({ path, baudRate: 115_200, autoOpen: false })
  await new Promise<void>((resolve, reject) => holder.open(error => (error ? reject(error) : resolve())))
  plug()
  await sleep(ms)
  await new Promise<void>(resolve => holder.close(() => resolve()))
}

async function withoutPermission(path: string, plug: () => void, ms: number): Promise<void> {
  chmodSync(path, 0o000)
  plug()
  await sleep(ms)
  chmodSync(path, 0o600)
}

async function firstAcknowledgement(book: DeliveryBook): Promise<number | null> {
  const startMs = performance.now()
  const heard = new Promise<true>(resolve => book.onceAcknowledged(() => resolve(true), pulled))
  const back = await Promise.race([heard, sleep(patienceMs, false, { ref: false })])
  return back ? performance.now() - startMs : null
}

interface End {
  readonly book: DeliveryBook
  readonly lost: number
  readonly duplicated: number
  readonly losses: number
  readonly examples: readonly string[]
}

function resultOf(cycles: readonly Cycle[], wanted: number, end: End): ProofResult {
  const { book, lost, duplicated, losses, examples } = end
  const back = spreadMs(cycles.flatMap(({ backMs }) => backMs ?? []))
  const pauses = spreadMs(cycles.map(({ pauseMs }) => pauseMs))
  const notBack = cycles.filter(({ backMs }) => backMs === null).length
  const byKind = Object.fromEntries(
    [...new Set(kinds)].map(kind => [
      kind,
      spreadMs(cycles.flatMap(one => (one.kind === kind ? (one.backMs ?? []) : []))),
    ]),
  )
  const late = cycles.filter(({ backMs }) => backMs !== null && backMs >= maxBackMs).length
  return {
    ok: notBack === 0 && late === 0 && lost === 0 && duplicated === 0 && losses === 0 && cycles.length === wanted,
    figures: {
      cycles: cycles.length,
      backMs: back,
      backMsByKind: byKind,
      notBack,
      pauseOfOthersMs: pauses,
      acknowledged: book.byLane,
      lost,
      duplicated,
      losses,
      examples,
    },
    targets: [
      target('read again, longest', back.max, '<', maxBackMs, 'ms'),
      target('longest pause of another source', pauses.max, '≤', maxPauseMs, 'ms'),
      target('acknowledged and lost', lost, '=', 0),
      target('stored twice', duplicated, '=', 0),
    ],
  }
}
