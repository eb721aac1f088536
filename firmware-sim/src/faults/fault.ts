/**
 * Faults are composable and seeded: each is a transform of one device's emissions, a chain of them is applied in the order given.
 *
 * A fault changes what the sensor says (spike, step, stuck, drift) or how it arrives (dropout, duplicate, out-of-order,
 * malformed). Its rate is the chance that an episode begins, per reading for the former, per emission for the latter, while none
 * is under way. Every episode is told to `truth` when it ends, with the device times between which it acted.
 */

import type { Emission } from '../signals/emission.ts'
import { createRandom, type Random } from '../signals/random.ts'
import { createDeliveryFault, deliveryFaults } from './delivery-faults.ts'
import { createValueFault, valueFaults } from './value-faults.ts'

export const faultKinds = [...valueFaults, ...deliveryFaults] as const
export type FaultKind = (typeof faultKinds)[number]

export interface FaultRule {
  readonly kind: FaultKind
  /** 0 to 1. */
  readonly rate: number
  /** Devices whose name begins with this; empty: all. */
  readonly devicePrefix: string
}

/** One episode of a fault. Times are the device's, µs since 1970 UTC, both ends included. */
export interface FaultEpisode {
  readonly fault: FaultKind
  readonly device: string
  /** null: the whole emission. */
  readonly metric: string | null
  readonly fromUs: number
  readonly toUs: number
}

export type TellTruth = (episode: FaultEpisode) => void

/** One device's way through a fault. */
export interface Fault {
  /** The emissions that come out now for the one that goes in. */
  apply(emission: Emission): readonly Emission[]
  /** What is still held back, when the device falls silent; also ends an episode under way. */
  end(): readonly Emission[]
}

/** The chain of faults of one device. */
export function createFaults(rules: readonly FaultRule[], device: string, seed: string, truth: TellTruth): Fault {
  const chain = rules
    .filter(rule => device.startsWith(rule.devicePrefix))
    .map((rule, i) => createFault(rule, device, createRandom(seed, `${device}/fault/${i}/${rule.kind}`), truth))
  return {
    apply: emission => through(chain, [emission]),
    end: () => chain.flatMap((fault, i) => through(chain.slice(i + 1), fault.end())),
  }
}

function through(chain: readonly Fault[], emissions: readonly Emission[]): readonly Emission[] {
  return chain.reduce<readonly Emission[]>((passing, fault) => passing.flatMap(e => fault.apply(e)), emissions)
}

function createFault(rule: FaultRule, device: string, random: Random, truth: TellTruth): Fault {
  const { kind, rate } = rule
  switch (kind) {
    case 'spike':
    case 'step':
    case 'stuck':
    case 'drift':
      return createValueFault(kind, rate, device, random, truth)
    case 'dropout':
    case 'duplicate':
    case 'out-of-order':
    case 'malformed':
      return createDeliveryFault(kind, rate, device, random, truth)
    default:
      return kind satisfies never
  }
}
