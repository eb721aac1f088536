/**
 * A source hears sensors and hands every message to `accept`; it acknowledges to the sensor only when `done` was called without
 * an error, and never in any other place. A source that fails restarts alone (supervisor.ts); no failure of one source reaches another.
 */

import type { TributaryError } from '@tributary/shared/errors'
import type { Message } from '../buffer/buffer.ts'

export type Accept = (message: Message, done: (error: TributaryError | null) => void) => void

export interface Source {
  /** `mqtt`, `serial:<name>`. */
  readonly name: string
  /** Resolves when the source hears its sensors, or tries to; throws only what no other try can mend. */
  start(): Promise<void>
  /** Stop hearing; messages already heard are finished or left unacknowledged. */
  stop(): Promise<void>
  status(): SourceStatus
}

export interface SourceStatus {
  readonly state: 'starting' | 'running' | 'waiting' | 'stopped'
  /** What it listens on, or why it waits. */
  readonly detail: string
  readonly messages: number
  readonly deadLettered: number
  readonly duplicates: number
  /** Times that it could not start or ended by itself, since the start of the agent. */
  readonly failures: number
  /** By this machine's clock, ms. */
  readonly lastError: { readonly atMs: number; readonly detail: string } | null
}
