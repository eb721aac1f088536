/** Says in the log what a source of time changed. */
import type { AgentClock, Learned, TrustSource } from './agent-clock.ts'

/** A pino logger fits. */
export interface ClockLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export function reportLearned(log: ClockLog, clock: AgentClock, source: TrustSource, learned: Learned): void {
  const { offsetMs, errorMs } = clock.status()
  const fields = { source, offsetMs, errorMs }
  if (learned === 'gained')
    log.info(fields, 'the time is trusted: readings are stamped by it, and placed that waited for it')
  if (learned === 'corrected') log.info(fields, 'the trusted time was corrected')
  if (learned === 'stepped-back') log.warn(fields, 'the trusted time went back: stamps follow it')
}
