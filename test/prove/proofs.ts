/** Every proof, in the order of the promises. */
import { ackOrder } from './ack-order.ts'
import { agentDurability } from './agent-durability.ts'
import { bufferFaults } from './buffer-faults.ts'
import { clock } from './clock.ts'
import { codec } from './codec.ts'
import { durability } from './durability.ts'
import { hotplug } from './hotplug.ts'
import { outage } from './outage.ts'
import type { Proof } from './proof.ts'
import { rewind } from './rewind.ts'

export const proofs: readonly Proof[] = [
  durability,
  agentDurability,
  ackOrder,
  bufferFaults,
  hotplug,
  outage,
  clock,
  rewind,
  codec,
]
