/**
 * The event log between ingest and the consumers.
 *
 * Contract, the same for every implementation (event-log.suite.ts runs it against each):
 * - `append` resolves only when the record survives a crash of log and hub. A rejected append may still have happened: consumers
 *   must tell repeats by identity.
 * - Records with the same key go to the same partition. Within a partition offsets rise strictly in the order in which records
 *   become visible: a transaction that commits late is never skipped.
 * - `consume` delivers each partition in order, at least once, to one member of the group at a time (a frozen member may overlap
 *   with its successor: the position row's owner token makes its writes fail).
 * - The consumer keeps its own position, in the transaction of its effect, and names the offset to start from.
 */
export const topics = { batches: 'tributary.batches' } as const
export type Topic = (typeof topics)[keyof typeof topics]

export interface LogRecord {
  readonly partition: number
  readonly offset: bigint
  readonly key: string
  readonly bytes: Uint8Array
}

export interface LogConsumer {
  /**
   * This member now owns the partition: where to read from. Called again after every loss of the partition, and before records are
   * delivered again after a rejection. A rejection that is not retryable ends `consume`.
   */
  assigned(partition: number): Promise<bigint>
  /** Up to `maxRecords` records of one partition in order; resolves when their effect is committed. A rejection delivers them again, after a pause. */
  handle(partition: number, records: readonly LogRecord[]): Promise<void>
  /** The log no longer holds the wanted offset: `firstOffset` is the oldest it has. Throws to stop loudly. */
  truncated(partition: number, wanted: bigint, firstOffset: bigint): Promise<bigint>
}

export interface ConsumeOptions {
  readonly group: string
  readonly maxRecords: number
  readonly signal: AbortSignal
}

export interface LogLag {
  readonly partition: number
  readonly nextOffset: bigint
  readonly endOffset: bigint
}

export interface EventLog {
  append(topic: Topic, key: string, bytes: Uint8Array): Promise<{ partition: number; offset: bigint }>
  /** Runs until the signal aborts; rejects only for what a person must look at. */
  consume(topic: Topic, consumer: LogConsumer, options: ConsumeOptions): Promise<void>
  /** One record again, or null when it is not there (any more, or yet). */
  read(topic: Topic, partition: number, offset: bigint): Promise<LogRecord | null>
  lag(topic: Topic, group: string): Promise<readonly LogLag[]>
  close(): Promise<void>
}
