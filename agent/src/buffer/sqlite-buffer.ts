/**
 * The buffer over a row of SQLite files: collects messages into groups, posts a group to the writer, calls back when it is committed.
 *
 * One commit is in flight at a time; the next group forms meanwhile. When a commit fails the group is kept and tried again; after
 * `failAfterMs` without success everything held is refused, and so is every new message until a probe commits (modes: `open` ⇄
 * `failing` → `refusing` → `open`; `closed` from any).
 */
import { randomInt } from 'node:crypto'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Lane, Recall } from '@tributary/shared/protocol'
import { type AgentClock, type BootTrust, machineClock } from '../time/agent-clock.ts'
import { BootClock } from '../time/boot-clock.ts'
import type { Buffer, BufferStats, EpochFloor, Message, Receipt, SealedBatch, StoredDeadLetter } from './buffer.ts'
import { type BufferConfig, bufferConfig } from './buffer-config.ts'
import { type BatchId, maxEpoch } from './epochs.ts'
import { type Done, heldBytesOf, PendingGroup, type TakenGroup } from './group.ts'
import { Pace } from './pace.ts'
import type { Sabotage } from './state.ts'
import { openInProcess, openInWorker, type WriterLink } from './writer-link.ts'

export interface BufferOptions extends Partial<Omit<BufferConfig, 'folder'>> {
  readonly folder: string
  /** The identity given at enrolment; nothing is sealed while it is null. */
  readonly agentId: () => string | null
  /** Gives the boot's clock, and tells when it is trusted. Default: the machine's, believed. */
  readonly clock?: AgentClock
  /** Told what a person should know: a quarantined file, a loss, an eviction. */
  readonly notify?: (notice: string) => void
  /** For the proofs only, see `Sabotage`. */
  readonly sabotage?: Sabotage | null
}

/**
 * Open the buffer of a folder. Throws `in-use` when another process has it, `storage` when the folder cannot be written,
 * `unsupported-version` when a newer build wrote it, `config` for a value out of its bounds.
 */
export async function openBuffer(options: BufferOptions): Promise<Buffer> {
  const {
    agentId,
    notify = () => undefined,
    sabotage = null,
    clock = machineClock(new BootClock()),
    ...given
  } = options
  const config = bufferConfig(given)
  const epoch = randomInt(1, maxEpoch)
  const storeOptions = { config, epoch, sabotage, bootId: clock.bootId }
  const link = config.worker ? await openInWorker(storeOptions, notify) : openInProcess(storeOptions, notify)
  const buffer = new SqliteBuffer({ config, epoch, sabotage, agentId, notify, link, clock })
  buffer.start()
  return buffer
}

interface Parts {
  readonly config: BufferConfig
  readonly epoch: number
  readonly sabotage: Sabotage | null
  readonly agentId: () => string | null
  readonly notify: (notice: string) => void
  readonly link: WriterLink
  readonly clock: AgentClock
}

type Mode = 'open' | 'failing' | 'refusing' | 'closed'

const retryMs = 100
const probeMs = 500
const tickMs = 1000

class SqliteBuffer implements Buffer {
  private runningEpoch: number
  private readonly parts: Parts
  private readonly pace: Pace
  private readonly forming: PendingGroup
  private readonly listeners: ((writable: boolean) => void)[] = []
  private mode: Mode = 'open'
  private inFlight: TakenGroup | null = null
  private failure: TributaryError | null = null
  private failedSinceMs = 0
  private immediate: NodeJS.Immediate | null = null
  private timer: NodeJS.Timeout | null = null
  private ticker: NodeJS.Timeout | null = null
  private idle: (() => void) | null = null
  /** Of the boot's trust, what the writer does not have yet. */
  private untold: BootTrust | null = null

  constructor(parts: Parts) {
    this.parts = parts
    this.runningEpoch = parts.epoch
    this.forming = new PendingGroup(parts.clock.bootId)
    this.pace = new Pace(parts.config.windowMs, parts.config.maxGroupReadings)
  }

  get epoch(): number {
    return this.runningEpoch
  }

  start(): void {
    const { clock, link } = this.parts
    clock.onTrust(trust => {
      this.untold = trust
      this.tellTrust()
    })
    clock.resume(link.clock)
    this.ticker = setInterval(() => this.tick(), tickMs).unref()
  }

  accept(message: Message, done: Done): void {
    const heldBytes = heldBytesOf(message)
    const refusal = this.refusal(heldBytes)
    if (refusal) {
      done(refusal)
      return
    }
    const early = this.parts.sabotage === 'ack-before-commit'
    try {
      this.forming.add(message, heldBytes, early ? () => undefined : done)
    } catch (error) {
      done(error as TributaryError)
      return
    }
    if (early) done(null)
    this.schedule()
  }

  receipts(): readonly Receipt[] {
    return this.parts.link.receipts
  }

  release(scope: string, id: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const refusal = this.refusal(0)
      if (refusal) return reject(refusal)
      this.forming.addRelease(scope, id, error => (error ? reject(error) : resolve()))
      this.schedule()
    })
  }

  async seal(maxReadings: number, lane: Lane): Promise<SealedBatch | null> {
    const agentId = this.parts.agentId()
    if (agentId === null) return null
    const { clock } = this.parts
    const monotonicUs = clock.boot.nowUs()
    const header = { agentId, bootId: clock.bootId, monotonicUs, wallUs: clock.nowUs() ?? clock.boot.wallUs() }
    return this.parts.link.call({ op: 'seal', maxReadings, lane, header })
  }

  split(freshMs: number): Promise<boolean> {
    return this.parts.link.call({ op: 'split', freshMs })
  }

  pending(max: number, after: BatchId | null = null): Promise<readonly SealedBatch[]> {
    return this.parts.link.call({ op: 'pending', max, after })
  }

  isPending(epoch: number, seq: number): Promise<boolean> {
    return this.parts.link.call({ op: 'isPending', epoch, seq })
  }

  acknowledge(epoch: number, seq: number): Promise<void> {
    return this.parts.link.call({ op: 'acknowledge', epoch, seq })
  }

  async reseal(epoch: number, seq: number): Promise<SealedBatch | null> {
    const batch = await this.parts.link.call({ op: 'reseal', epoch, seq })
    if (batch) this.runningEpoch = batch.epoch
    return batch
  }

  async resealCopy(epoch: number, seq: number, digest: string): Promise<SealedBatch | null> {
    const batch = await this.parts.link.call({ op: 'resealCopy', epoch, seq, digest })
    if (batch) this.runningEpoch = batch.epoch
    return batch
  }

  settle(epoch: number, settled: number): Promise<number> {
    return this.parts.link.call({ op: 'settle', epoch, settled })
  }

  recall(recall: Recall): Promise<boolean> {
    return this.parts.link.call({ op: 'recall', recall })
  }

  bringBack(epoch: number, fromSeq: number): Promise<number> {
    return this.parts.link.call({ op: 'bringBack', epoch, fromSeq })
  }

  earlierFloors(max: number): Promise<readonly EpochFloor[]> {
    return this.parts.link.call({ op: 'earlierFloors', max })
  }

  async stats(): Promise<BufferStats> {
    const stats = await this.parts.link.call({ op: 'stats' })
    return { ...stats, writable: this.mode === 'open' || this.mode === 'failing' }
  }

  deadLetters(limit: number): Promise<readonly StoredDeadLetter[]> {
    return this.parts.link.call({ op: 'deadLetters', limit })
  }

  dropDeadLetters(ids: readonly number[]): Promise<number> {
    return this.parts.link.call({ op: 'dropDeadLetters', ids })
  }

  onWritable(listener: (writable: boolean) => void): void {
    this.listeners.push(listener)
  }

  /** Commits what was accepted, then closes; what cannot be committed any more is refused. */
  async close(): Promise<void> {
    if (this.mode === 'closed') return
    while (this.mode !== 'refusing' && (this.inFlight || !this.forming.empty)) {
      const idle = new Promise<void>(resolve => {
        this.idle = resolve
      })
      this.commit()
      await idle
    }
    this.mode = 'closed'
    this.failure = new TributaryError('storage', 'the buffer is closed; the message was not kept')
    if (this.ticker) clearInterval(this.ticker)
    this.cancel()
    await this.parts.link.call({ op: 'close' })
    await this.parts.link.end()
  }

  private refusal(heldBytes: number): TributaryError | null {
    if (this.mode === 'refusing' || this.mode === 'closed') return this.failure
    const { maxHeldBytes } = this.parts.config
    if (heldBytes > maxHeldBytes) {
      const what = `a message of about ${heldBytes} bytes is more than the buffer holds (${maxHeldBytes}); it was not kept`
      return new TributaryError('too-large', what)
    }
    const held = this.forming.heldBytes + (this.inFlight?.heldBytes ?? 0)
    if (held + heldBytes <= maxHeldBytes) return null
    const what = `${held} bytes wait for the disk, at most ${maxHeldBytes} may; the message was not kept`
    return new TributaryError('storage', what, { hint: 'The disk is slower than what arrives; send again later.' })
  }

  /** Commit the forming group when its time has come, or arrange for that. */
  private schedule(): void {
    if (this.inFlight || this.immediate || this.forming.empty) return
    const waitMs = this.pace.waitMs(this.forming.readings, performance.now())
    if (waitMs > 0) {
      this.timer ??= setTimeout(() => this.commit(), waitMs)
    } else if (this.forming.readings >= this.parts.config.maxGroupReadings) {
      this.commit()
    } else {
      this.immediate = setImmediate(() => this.commit())
    }
  }

  private cancel(): void {
    if (this.timer) clearTimeout(this.timer)
    if (this.immediate) clearImmediate(this.immediate)
    this.timer = null
    this.immediate = null
  }

  private commit(): void {
    this.cancel()
    if (this.inFlight || this.forming.empty) return
    this.pace.spend(this.forming.readings, performance.now())
    this.inFlight = this.forming.take()
    this.write(this.inFlight)
  }

  private write(taken: TakenGroup): void {
    this.parts.link.call({ op: 'commit', group: taken.group }).then(
      () => this.committed(taken),
      error => this.failed(taken, error as TributaryError),
    )
  }

  private committed(taken: TakenGroup): void {
    this.inFlight = null
    this.mode = 'open'
    this.finish(taken, null)
    this.schedule()
    this.settled()
  }

  /** The group is kept and tried again while the disk may come back; what can never be written is refused at once. */
  private failed(taken: TakenGroup, error: TributaryError): void {
    const { failAfterMs } = this.parts.config
    if (error.code !== 'storage' && error.code !== 'storage-full') {
      this.inFlight = null
      this.finish(taken, error)
      this.schedule()
      this.settled()
      return
    }
    if (this.mode === 'open') {
      this.mode = 'failing'
      this.failedSinceMs = performance.now()
    }
    if (performance.now() - this.failedSinceMs < failAfterMs) {
      this.timer = setTimeout(() => this.write(taken), retryMs)
      return
    }
    this.refuse(taken, error)
  }

  private refuse(taken: TakenGroup, error: TributaryError): void {
    this.mode = 'refusing'
    this.failure = error
    this.inFlight = null
    this.cancel()
    this.finish(taken, error)
    this.finish(this.forming.take(), error)
    this.parts.notify(`the buffer refuses messages: ${error.message}`)
    for (const listener of this.listeners) listener(false)
    this.timer = setTimeout(() => this.probe(), probeMs).unref()
    this.settled()
  }

  private probe(): void {
    this.timer = null
    this.parts.link.call({ op: 'probe' }).then(
      () => {
        if (this.mode !== 'refusing') return
        this.mode = 'open'
        this.failure = null
        this.parts.notify('the buffer takes messages again')
        for (const listener of this.listeners) listener(true)
      },
      (error: TributaryError) => {
        if (this.mode !== 'refusing') return
        this.failure = error
        this.timer = setTimeout(() => this.probe(), probeMs).unref()
      },
    )
  }

  private finish(taken: TakenGroup, error: TributaryError | null): void {
    for (const done of taken.dones) {
      try {
        done(error)
      } catch (thrown) {
        this.parts.notify(`a source failed when it was called back: ${messageOf(thrown)}`)
      }
    }
  }

  private settled(): void {
    const { idle } = this
    this.idle = null
    idle?.()
  }

  /** Posted at once, so that it stands before every seal that follows; what fails is told again by the next tick. */
  private tellTrust(): void {
    const trust = this.untold
    if (trust === null || this.mode === 'closed') return
    this.untold = null
    this.parts.link.call({ op: 'trust', trust }).catch((error: TributaryError) => {
      this.untold ??= trust
      this.parts.notify(`the boot's place in time cannot be stored: ${error.message}`)
    })
  }

  private tick(): void {
    if (this.mode !== 'open') return
    this.tellTrust()
    this.parts.link.call({ op: 'tick' }).catch((error: TributaryError) => this.parts.notify(error.message))
  }
}
