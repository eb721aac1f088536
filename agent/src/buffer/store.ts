/**
 * The writer's side of the buffer: every operation on the files, one after another, synchronous.
 *
 * Runs in the worker thread (writer.ts) or, with `worker: false`, in the API's own. An operation that throws has changed nothing that
 * the caller was promised. `maintain` does what no caller waits for: new file, eviction, what is behind in the state.
 */
import type { LossRange } from '@tributary/shared/batch/batch'
import { messageOf } from '@tributary/shared/errors'
import type { Lane, Recall } from '@tributary/shared/protocol'
import type { BootTrust } from '../time/agent-clock.ts'
import type { BufferStats, EpochFloor, Receipt, SealedBatch, StoredDeadLetter } from './buffer.ts'
import { commitGroup } from './commit.ts'
import { acknowledge, bringBack, earlierFloors, pendingBatches, settle } from './copies.ts'
import type { BatchId } from './epochs.ts'
import { finishEviction, keepBounds, makeRoom, watchDisk } from './eviction.ts'
import { windowStats } from './fold.ts'
import { foldOnTick } from './fold-forward.ts'
import type { Group } from './group.ts'
import { openStore, type StoreOptions } from './open-store.ts'
import { recallStep } from './recall.ts'
import { setTailAside } from './repair.ts'
import { reseal, resealCopy } from './reseal.ts'
import { rotateWhenFull } from './rotate.ts'
import { oldestUnsealedUs, type SealHeader, seal, splitLanes } from './sealing.ts'
import { bufferBytes, closeReader, flushState, type StoreState } from './state.ts'
import { isDamage, storageError } from './storage-error.ts'
import { gainTrust, keepTimes } from './trust.ts'
import type { KnownClock } from './writer-link.ts'

export type StoreRequest =
  | { readonly op: 'commit'; readonly group: Group }
  | { readonly op: 'seal'; readonly maxReadings: number; readonly lane: Lane; readonly header: SealHeader }
  | { readonly op: 'split'; readonly freshMs: number }
  | { readonly op: 'pending'; readonly max: number; readonly after: BatchId | null }
  | { readonly op: 'isPending'; readonly epoch: number; readonly seq: number }
  | { readonly op: 'acknowledge'; readonly epoch: number; readonly seq: number }
  | { readonly op: 'reseal'; readonly epoch: number; readonly seq: number }
  | { readonly op: 'resealCopy'; readonly epoch: number; readonly seq: number; readonly digest: string }
  | { readonly op: 'settle'; readonly epoch: number; readonly settled: number }
  | { readonly op: 'trust'; readonly trust: BootTrust }
  | { readonly op: 'recall'; readonly recall: Recall }
  | { readonly op: 'bringBack'; readonly epoch: number; readonly fromSeq: number }
  | { readonly op: 'earlierFloors'; readonly max: number }
  | { readonly op: 'stats' }
  | { readonly op: 'deadLetters'; readonly limit: number }
  | { readonly op: 'dropDeadLetters'; readonly ids: readonly number[] }
  | { readonly op: 'probe' }
  | { readonly op: 'tick' }
  | { readonly op: 'close' }

/** Everything of `BufferStats` but what the API's side knows. */
export type StoreStats = Omit<BufferStats, 'writable'>

export interface StoreResults {
  commit: undefined
  seal: SealedBatch | null
  split: boolean
  pending: readonly SealedBatch[]
  isPending: boolean
  acknowledge: undefined
  reseal: SealedBatch | null
  resealCopy: SealedBatch | null
  settle: number
  recall: boolean
  trust: undefined
  bringBack: number
  earlierFloors: readonly EpochFloor[]
  stats: StoreStats
  deadLetters: readonly StoredDeadLetter[]
  dropDeadLetters: number
  probe: undefined
  tick: undefined
  close: undefined
}

export type StoreResult = StoreResults[keyof StoreResults]

/** Acknowledgements that no commit took along are written every so many ticks (of a second). */
const ticksPerFlush = 10
/** So are the times of the boots as last confirmed. */
const ticksPerTimes = 60

export class Store {
  private readonly state: StoreState
  private maintainAfterMs = 0
  private ticks = 0

  constructor(options: StoreOptions) {
    this.state = openStore(options)
  }

  receipts(): Receipt[] {
    return this.state.receipts.list()
  }

  clock(): KnownClock {
    const { trust, rate } = this.state.times
    return { trust, rate }
  }

  /** What a person should know of the work done since the last call. */
  notices(): string[] {
    return this.state.notices.splice(0)
  }

  run(request: StoreRequest): StoreResult {
    try {
      return this.perform(request)
    } catch (thrown) {
      if (!this.remedied(thrown)) throw storageError(thrown)
    }
    try {
      return this.perform(request)
    } catch (thrown) {
      throw storageError(thrown)
    }
  }

  private perform(request: StoreRequest): StoreResult {
    const { state } = this
    switch (request.op) {
      case 'commit':
        commitGroup(state, request.group)
        return undefined
      case 'seal':
        return seal(state, request.maxReadings, request.lane, request.header)
      case 'split':
        return splitLanes(state, request.freshMs)
      case 'pending':
        return pendingBatches(state, request.max, request.after)
      case 'isPending':
        return state.epochs.pendingBatch(request.epoch, request.seq) !== undefined
      case 'acknowledge':
        acknowledge(state, request.epoch, request.seq)
        return undefined
      case 'reseal':
        return reseal(state, request.epoch, request.seq)
      case 'resealCopy':
        return resealCopy(state, request.epoch, request.seq, request.digest)
      case 'settle':
        return settle(state, request.epoch, request.settled)
      case 'trust':
        gainTrust(state, request.trust)
        return undefined
      case 'recall':
        return recallStep(state, request.recall)
      case 'bringBack':
        return bringBack(state, request.epoch, request.fromSeq)
      case 'earlierFloors':
        return earlierFloors(state, request.max)
      case 'stats':
        return this.stats()
      case 'deadLetters':
        return [...state.tail.deadLetters()].slice(0, request.limit).map(letter => state.letters.present(letter))
      case 'dropDeadLetters':
        return state.letters.drop(state.tail, request.ids)
      case 'probe':
        state.dirty = true
        flushState(state)
        return undefined
      case 'tick':
        foldOnTick(state)
        keepBounds(state)
        watchDisk(state)
        if (++this.ticks % ticksPerTimes === 0) keepTimes(state)
        else if (this.ticks % ticksPerFlush === 0) flushState(state)
        return undefined
      case 'close':
        this.close()
        return undefined
      default:
        return request satisfies never
    }
  }

  /** After an answer was given. A failure here is tried again a second later. */
  maintain(): void {
    const { state } = this
    if (performance.now() < this.maintainAfterMs) return
    try {
      if (rotateWhenFull(state)) keepBounds(state)
      finishEviction(state)
    } catch (error) {
      this.maintainAfterMs = performance.now() + 1000
      state.notices.push(`the buffer could not begin a new file: ${messageOf(error)}`)
    }
  }

  /** Did something change that makes another try worth it? */
  private remedied(thrown: unknown): boolean {
    const { state } = this
    try {
      if (storageError(thrown).code === 'storage-full') return makeRoom(state)
      if (!isDamage(thrown)) return false
      setTailAside(state)
      return true
    } catch (error) {
      state.notices.push(`the buffer could not help itself: ${messageOf(error)}`)
      return false
    }
  }

  private stats(): StoreStats {
    const { state } = this
    const losses: LossRange[] = state.ledger.list()
    return {
      files: state.closed.length + 1,
      bytes: bufferBytes(state),
      backlogReadings: state.unsealed.readings + state.epochs.pendingReadings,
      unsealedLive: state.unsealed.live.readings,
      unsealedBacklog: state.unsealed.behind.reduce((sum, range) => sum + range.readings, 0),
      backlogRanges: state.unsealed.behind.length,
      oldestUs: oldestUnsealedUs(state),
      unplacedReadings: state.times.unplacedReadings,
      deadLetters: state.letters.count,
      deadLettersDropped: state.letters.dropped,
      sealedPending: state.epochs.pendingCount,
      resealedBatches: state.resealed,
      counters: state.counters,
      losses,
      windows: windowStats(state.fold),
    }
  }

  private close(): void {
    const { state } = this
    try {
      keepTimes(state)
    } finally {
      closeReader(state)
      state.tail.close()
      state.mark.close()
      state.lock.release()
    }
  }
}
