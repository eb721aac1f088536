/** What `tributary-agent status`, GET /status and the metrics say of a running agent. */
import type { BufferStats } from '../buffer/buffer.ts'
import type { MqttStats } from '../sources/mqtt/mqtt-source.ts'
import type { SerialStats } from '../sources/serial/serial-source.ts'
import type { SourceStatus } from '../sources/source.ts'
import type { ClockStatus } from '../time/agent-clock.ts'
import type { UplinkStatus } from '../uplink/uplink-status.ts'

export interface AgentStatus {
  readonly name: string
  readonly version: string
  readonly pid: number
  /** ISO 8601. */
  readonly startedAt: string
  /** Null: not enrolled; readings are kept until it is. */
  readonly enrolment: { readonly agentId: string; readonly site: string; readonly hub: string } | null
  readonly sources: readonly NamedSourceStatus[]
  readonly buffer: BufferStats
  readonly clock: ClockStatus
  readonly uplink: UplinkStatus | null
  readonly rssBytes: number
  readonly deviceWrites: DeviceWrites
  /** Promises broken on purpose; empty outside of proofs. */
  readonly sabotage: readonly string[]
}

/** Since the start of the process. */
export interface DeviceWrites {
  /** What the process made the kernel write to its devices (device-writes.ts); null where that cannot be known. */
  readonly bytes: number | null
  /** Accepted in the same time. */
  readonly readings: number
}

export interface NamedSourceStatus extends SourceStatus {
  readonly name: string
  readonly port?: number
  readonly mqtt?: MqttStats
  readonly serial?: SerialStats
}

/** Why the agent is not ready for its sensors; empty when it is. */
export function unreadiness({ buffer, sources }: AgentStatus): string[] {
  const reasons = buffer.writable ? [] : ['the buffer cannot commit']
  for (const { name, state, detail } of sources) {
    // A serial port may come and go; a broker that does not listen is a fault.
    if (name === 'mqtt' && state !== 'running') reasons.push(`${name} is ${state}: ${detail}`)
  }
  return reasons
}
