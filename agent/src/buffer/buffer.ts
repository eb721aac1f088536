/**
 * The buffer: between a sensor's publish and the hub's 200, the one place where a reading is kept.
 *
 * Contract
 * - `accept` calls back without an error only after the message's readings (or its dead letter), its receipt and the counters
 *   are committed and fsynced in ONE transaction. An error means that nothing of the message was kept.
 * - Messages are committed in the order of `accept`; callbacks come in that order too.
 * - Unsealed readings stand in ranges: the live one, to which commits add, and the backlog behind it, after `split`. Every reading is
 *   sealed exactly once or in the ledger, from whichever lane and whatever happens in between.
 * - Policies decide at the commit: a reading is to be sent, held (kept in its row, not sent), or suppressed (not stored); its callback comes
 *   after the commit in any case. Held readings go into windows; a window that closes stands in a row of its own, is sealed and given
 *   up like readings (a count of unsealed readings counts it as one), and is the same after a crash.
 * - A sealed batch never changes: contents, epoch, seq and bytes are stored before `seal` resolves; after a restart `pending`
 *   returns it byte for byte. Only `reseal` ends its identity, and gives its readings another.
 * - A reading that came without a time, while the clock was not trusted, is sealed once its boot is placed in time (place.ts); its lane
 *   waits until then.
 * - A reading leaves the buffer only by `acknowledge` (then kept as a copy, first to be evicted) or by eviction into the ledger.
 * - After a crash every committed row is readable, or its loss is in the ledger.
 *
 * One implementation: buffer/sqlite-buffer.ts (row of SQLite files, one writer in a worker thread).
 */
import type { LossRange } from '@tributary/shared/batch/batch'
import type { TributaryError } from '@tributary/shared/errors'
import type { Lane, Recall } from '@tributary/shared/protocol'
import type { Reading } from '@tributary/shared/reading'
import type { Counters } from './counters.ts'
import type { BatchId } from './epochs.ts'

/** A payload that did not decode. */
export interface DeadLetter {
  /** `mqtt`, `serial:<name>`, … */
  readonly source: string
  /** Topic, or port; what a person looks for. */
  readonly origin: string
  readonly reason: string
  readonly payload: Uint8Array
  /** Since 1970 UTC; while it is `unplaced`, of the clock of the boot that received it. */
  readonly receivedAtUs: number
  /** Absent when that time is certain. `uncertain`: it came at that time or before. */
  readonly arrival?: 'unplaced' | 'uncertain'
}

export interface StoredDeadLetter extends DeadLetter {
  readonly id: number
}

/**
 * Proof that a message of a given sender and id has been stored, kept in the readings' own transaction so that a redelivery after
 * a crash is recognised. `scope` names the sender (`mqtt1:<client>`, `mqtt2:<client>`, `serial:<name>`), `id` the packet or line
 * number, `digest` (64-bit, 16 hex digits) topic and payload. A later receipt with the same scope and id replaces the earlier one.
 */
export interface Receipt {
  readonly scope: string
  readonly id: number
  readonly digest: string
}

/**
 * The senders behind scopes with this prefix are never further ahead than so many messages: the receipts of all of those are kept for
 * each of them, whatever the others need.
 */
export const reservedReceipts = { prefix: 'serial:', each: 64 } as const

/** One message of one source: all of it is kept, or none. */
export interface Message {
  readonly readings: readonly Reading[]
  readonly deadLetter: DeadLetter | null
  readonly receipt: Receipt | null
  /** Kept although it may repeat an earlier message; counted. */
  readonly maybeDuplicate: boolean
  /** The times of its readings are of the boot's clock: it was received while no better one was trusted. */
  readonly unplaced?: boolean
}

export interface SealedBatch {
  readonly epoch: number
  readonly seq: number
  /** The encoded, compressed batch, exactly as it goes over the wire. */
  readonly body: Uint8Array
  readonly readings: number
  /** Parts of windows in it. */
  readonly aggregates: number
  /** Newest event time in it, µs; of an aggregate the end of its window. */
  readonly newestUs: number
  /** Of this epoch: every seq below it is acknowledged, or in the ledger and told of by a batch. */
  readonly floor: number
}

/** Every seq of the epoch below the floor is acknowledged or in the ledger. */
export interface EpochFloor {
  readonly epoch: number
  readonly floor: number
}

export interface BufferStats {
  readonly files: number
  readonly bytes: number
  /** Readings not yet acknowledged by the hub: unsealed of both lanes (where a part of a window counts as one), and in sealed batches. */
  readonly backlogReadings: number
  /** In the live range, not sealed. */
  readonly unsealedLive: number
  /** In the ranges behind it, not sealed. */
  readonly unsealedBacklog: number
  /** Ranges behind the live one; each outage that came during a drain adds one, at most 63. */
  readonly backlogRanges: number
  /** Null when nothing waits, or what waits has no place in time yet. */
  readonly oldestUs: number | null
  /** Readings of the running boot stored without a place in time, as long as it has none. */
  readonly unplacedReadings: number
  readonly deadLetters: number
  /** Dead letters pushed out by the bounds, since the first start. */
  readonly deadLettersDropped?: number
  readonly sealedPending: number
  /** Batches sealed again under another epoch because the hub had their identity with other contents, since the first start. */
  readonly resealedBatches: number
  readonly counters: Counters
  readonly losses: readonly LossRange[]
  readonly windows: WindowStats
  /** Accepting now; false while commits fail (publishers are then refused). */
  readonly writable: boolean
}

/** Windows that policies fold into. */
export interface WindowStats {
  /** Parts of windows that take readings. */
  readonly open: number
  /** Since the start. */
  readonly closed: number
  /** Of those, closed early for want of memory. */
  readonly closedEarly: number
  /** Put into batches since the start. */
  readonly sealed: number
  /** Readings that came after their window had closed, since the start. */
  readonly late: number
}

export interface Buffer {
  /** Under which batches are sealed: drawn at random at every start, and anew by a `reseal` of one of it. */
  readonly epoch: number
  accept(message: Message, done: (error: TributaryError | null) => void): void
  /** The receipts that survived the last stop, for the sources to recognise redeliveries with. */
  receipts(): readonly Receipt[]
  /** Forget a receipt (PUBREL of an open QoS 2 message): resolves when durable. */
  release(scope: string, id: number): Promise<void>
  /**
   * Seal at most `maxReadings` into the next batch: of the live range its oldest, of the backlog the oldest of all; null when the lane
   * has none. Without a `split` everything is in the live range.
   */
  seal(maxReadings: number, lane: Lane): Promise<SealedBatch | null>
  /**
   * What is unsealed becomes backlog, but for what came within `freshMs`: that, and what comes, is the live lane's. Durable when it
   * resolves. False when nothing was split off: all is fresh, or there are 64 ranges.
   */
  split(freshMs: number): Promise<boolean>
  /**
   * Sealed and not acknowledged, oldest first, at most `max`: what a restarted agent sends before anything new. With `after`, those
   * that follow that one; an empty list is the end.
   */
  pending(max: number, after?: BatchId | null): Promise<readonly SealedBatch[]>
  /** Is it still to be sent? Not any more when it was acknowledged, or evicted meanwhile and is in the ledger. */
  isPending(epoch: number, seq: number): Promise<boolean>
  /** The hub has it durable. The copy stays until evicted. */
  acknowledge(epoch: number, seq: number): Promise<void>
  /**
   * The hub has other contents under this identity (a cloned or restored gateway): the batch's readings become a new batch under
   * another epoch, durable when it resolves, and the old identity goes into the ledger. Null when the batch is lost.
   */
  reseal(epoch: number, seq: number): Promise<SealedBatch | null>
  /**
   * The same for a batch that the hub had acknowledged before it knew, of this SHA-256 (hex): its kept copy becomes pending under another
   * epoch. Null when there is nothing to do: not ours, sealed again before, or no longer kept.
   */
  resealCopy(epoch: number, seq: number, digest: string): Promise<SealedBatch | null>
  /**
   * The hub's stored floor for `epoch`, as answered. When it falls below an earlier answer, kept copies from there on become
   * pending again and what is no longer kept goes to the ledger; returns how many batches will be sent again.
   */
  settle(epoch: number, settled: number): Promise<number>
  /** The same from a seq on, whatever was answered before: the hub is known to have lost what it acknowledged there. */
  bringBack(epoch: number, fromSeq: number): Promise<number>
  /** Of the epochs before the running one that are remembered, the newest, at most `max`. */
  earlierFloors(max: number): Promise<readonly EpochFloor[]>
  /**
   * Go on with a recall: some of the held readings that it asks for become readings to send, durable when it resolves. True when there
   * are no more; to be asked again until then. A recall that is done is told in the header of batches; asked again, it does nothing.
   */
  recall(recall: Recall): Promise<boolean>
  stats(): Promise<BufferStats>
  deadLetters(limit: number): Promise<readonly StoredDeadLetter[]>
  dropDeadLetters(ids: readonly number[]): Promise<number>
  /** Called with false when commits start to fail for `failAfterMs`, with true when a probe commits again. */
  onWritable(listener: (writable: boolean) => void): void
  close(): Promise<void>
}
