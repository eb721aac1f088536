/** What `tributary-agent status`, the health page and the metrics show of the uplink. */
import type { ErrorCode } from '@tributary/shared/errors'
import type { Lane } from '@tributary/shared/protocol'
import type { HeldBatch } from './outbox.ts'

/**
 * | state | meaning |
 * |---|---|
 * | idle | everything is at the hub |
 * | sending | batches are under way, or readings wait for a full batch |
 * | waiting | the hub could not take them (network, 429, 5xx); tries again by itself |
 * | refused | the hub refuses this agent: revoked, unknown, or not a hub; readings are kept, tries again slowly |
 * | blocked | the hub refuses too many batches; nothing new is sent until one passes |
 * | stopped | not started, or stopped |
 */
export type UplinkState = 'idle' | 'sending' | 'waiting' | 'refused' | 'blocked' | 'stopped'

export interface LaneStatus {
  /** In the buffer, not in a batch yet. */
  readonly unsealedReadings: number
  readonly inFlight: number
  /** Since the start. */
  readonly sentBatches: number
  readonly sentReadings: number
  readonly sentBytes: number
}

export interface UplinkStatus {
  readonly state: UplinkState
  /** One line for people: why it waits, or nothing. */
  readonly detail: string
  readonly hub: string
  /** Address of the proxy on the way, without its user; null when there is none. */
  readonly proxy: string | null
  /** By the hub's time, ms; null before the first. */
  readonly lastSuccessMs: number | null
  readonly lastError: { readonly atMs: number; readonly code: ErrorCode; readonly detail: string } | null
  /** Readings not yet acknowledged by the hub, as of the last look. */
  readonly backlogReadings: number
  /** The lanes go apart: everything would take longer than `in_order_below` to send. */
  readonly apart: boolean
  /** By what the requests say they are. */
  readonly lanes: Readonly<Record<Lane, LaneStatus>>
  /** Readings a second stored by the hub, averaged over about 10 s. */
  readonly drainReadingsPerS: number
  /** Until everything is at the hub, at that rate and with nothing new, ms; null while nothing leaves. */
  readonly estimatedDrainMs: number | null
  readonly inFlight: number
  /** Until the next try; null when it is not waiting. */
  readonly nextTryInMs: number | null
  /** Batches that the hub refuses; kept, and tried again. */
  readonly held: readonly HeldBatch[]
  /** Since the start. */
  readonly sentBatches: number
  readonly sentReadings: number
  readonly sentBytes: number
  /** Requests that did not end with a stored batch. */
  readonly failedTries: number
  /** Readings that the hub took and did not store as data, by reason: they are in its dead letters. */
  readonly rejected: Readonly<Record<string, number>>
  /** The hub's clock minus this machine's, ms; null until a signed answer told. */
  readonly clockOffsetMs: number | null
  readonly clockCorrections: number
  /** Batches that the hub had lost and that were sent again. */
  readonly sentAgain: number
  /** Batches whose identity the hub had with other contents, sealed again under another epoch. */
  readonly resealed: number
  /** Backlog batches that the hub takes at once. */
  readonly credits: number
  /** What the hub asks back: to be worked on, and done since the start. */
  readonly recalls: { readonly open: number; readonly done: number }
  readonly desiredConfigVersion: number | null
}
