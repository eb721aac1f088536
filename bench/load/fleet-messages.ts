/** Messages of one reading each, as a small mixed fleet publishes them over MQTT at QoS 1, in groups of one commit. */
import type { Value } from '@tributary/shared/reading'
import { fleetColumns } from './fleet-columns.ts'

export interface FleetMessage {
  readonly device: string
  readonly metric: string
  readonly unit: string
  readonly tsUs: number
  readonly value: Value
  readonly packetId: number
  /** 64 bits over topic and payload, 16 hex digits. */
  readonly digest: string
}

/** `groups` groups of `perGroup` messages; 20 series in turn, in order of time. */
export function* fleetMessages(groups: number, perGroup: number): Generator<FleetMessage[]> {
  const columns = fleetColumns(1, Math.ceil((groups * perGroup) / 20))
  let n = 0
  for (let group = 0; group < groups; group++) {
    yield Array.from({ length: perGroup }, () => {
      const { series, tsUs, values } = columns[n % columns.length]!
      const at = Math.floor(n / columns.length)
      const packetId = (n % 65_535) + 1
      n++
      return { ...series, tsUs: tsUs[at]!, value: values[at]!, packetId, digest: digestOf(n) }
    })
  }
}

/** Spread over all bits, as a hash is, so that nothing compresses it. */
function digestOf(n: number): string {
  const mixed = BigInt.asUintN(64, BigInt(n) * 0x9e37_79b9_7f4a_7c15n)
  return BigInt.asUintN(64, mixed ^ (mixed >> 29n))
    .toString(16)
    .padStart(16, '0')
}
