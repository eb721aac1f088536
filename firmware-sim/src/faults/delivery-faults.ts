/**
 * Faults on the way from the sensor. They act on whole emissions and change no value.
 *
 * dropout: silence for 5 to 50 emissions. duplicate: the same emission twice, with equal time and counter. out-of-order: an
 * emission comes 1 to 5 places late. malformed: the payload is cut or garbled and decodes to nothing.
 */
import type { Emission } from '../signals/emission.ts'
import type { Random } from '../signals/random.ts'
import type { Fault, TellTruth } from './fault.ts'

export const deliveryFaults = ['dropout', 'duplicate', 'out-of-order', 'malformed'] as const
export type DeliveryFault = (typeof deliveryFaults)[number]

type Create = (rate: number, device: string, random: Random, truth: TellTruth) => Fault

const create: Readonly<Record<DeliveryFault, Create>> = {
  dropout,
  duplicate,
  'out-of-order': outOfOrder,
  malformed,
}

export function createDeliveryFault(
  kind: DeliveryFault,
  rate: number,
  device: string,
  random: Random,
  truth: TellTruth,
): Fault {
  return create[kind](rate, device, random, truth)
}

function dropout(rate: number, device: string, random: Random, truth: TellTruth): Fault {
  let silent: { fromUs: number; toUs: number; left: number } | null = null
  function end(): readonly Emission[] {
    if (silent !== null) truth({ fault: 'dropout', device, metric: null, fromUs: silent.fromUs, toUs: silent.toUs })
    silent = null
    return []
  }
  return {
    apply(emission) {
      if (silent === null && random.chance(rate))
        silent = { fromUs: emission.tsUs, toUs: emission.tsUs, left: random.integer(5, 50) }
      if (silent === null) return [emission]
      silent.toUs = emission.tsUs
      silent.left--
      return silent.left === 0 ? end() : []
    },
    end,
  }
}

function duplicate(rate: number, device: string, random: Random, truth: TellTruth): Fault {
  return {
    apply(emission) {
      if (!random.chance(rate)) return [emission]
      truth({ fault: 'duplicate', device, metric: null, fromUs: emission.tsUs, toUs: emission.tsUs })
      return [emission, emission]
    },
    end: () => [],
  }
}

function outOfOrder(rate: number, device: string, random: Random, truth: TellTruth): Fault {
  let held: { emission: Emission; places: number } | null = null
  return {
    apply(emission) {
      if (held === null) {
        if (!random.chance(rate)) return [emission]
        held = { emission, places: random.integer(1, 5) }
        truth({ fault: 'out-of-order', device, metric: null, fromUs: emission.tsUs, toUs: emission.tsUs })
        return []
      }
      held.places--
      if (held.places > 0) return [emission]
      const late = held.emission
      held = null
      return [emission, late]
    },
    end() {
      const late = held === null ? [] : [held.emission]
      held = null
      return late
    },
  }
}

function malformed(rate: number, device: string, random: Random, truth: TellTruth): Fault {
  return {
    apply(emission) {
      if (!random.chance(rate)) return [emission]
      truth({ fault: 'malformed', device, metric: null, fromUs: emission.tsUs, toUs: emission.tsUs })
      return [{ ...emission, garbage: garble(emission, random) }]
    },
    end: () => [],
  }
}

/** Never holds a line end, so that on a serial line it stays one line. */
function garble(emission: Emission, random: Random): Uint8Array {
  const text = JSON.stringify({ device: emission.device, ts: emission.tsUs, value: emission.readings[0]?.value })
  const kinds = [
    () => Buffer.from(text.slice(0, random.integer(1, text.length - 1))),
    () => Buffer.from(Array.from({ length: random.integer(1, 64) }, () => random.integer(128, 255))),
    () => Buffer.from('ERR sensor'),
    () => Buffer.from('{"value":}'),
  ]
  return kinds[random.integer(0, kinds.length - 1)]!()
}
