/**
 * The log record of a batch: what ingest decided, once, and the batch bytes as received. Consumers obey the verdict and never
 * judge again, so that a replay of the log gives the same rows.
 */
import type { Lane, RejectReason } from '@tributary/shared/protocol'

export interface Envelope {
  readonly receivedAtMs: number
  /** The hub's serial number of the agent (agent.agent_no). */
  readonly agentNo: number
  readonly lane: Lane
  /** As sent in `tributary-floor`. */
  readonly floor: number
  /** Version of the judging rules. */
  readonly ruleVersion: number
  /** Index in the batch → reason; readings not in it are accepted. */
  readonly rejected: ReadonlyMap<number, RejectReason>
  /** SHA-256 of `batch`. */
  readonly digest: Uint8Array
  /** The encoded batch as received. */
  readonly batch: Uint8Array
}
