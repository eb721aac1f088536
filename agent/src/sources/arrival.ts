/** When a payload came that did not decode, as its dead letter says it. */
import type { DeadLetter } from '../buffer/buffer.ts'
import type { Stamp } from '../time/agent-clock.ts'

export function arrivalOf({ tsUs, placed }: Stamp): Pick<DeadLetter, 'receivedAtUs' | 'arrival'> {
  return placed ? { receivedAtUs: tsUs } : { receivedAtUs: tsUs, arrival: 'unplaced' }
}
