/**
 * Which policy holds for which series: the first whose patterns match; null for none, which is raw.
 *
 * Bounded: what was found is remembered for 50,000 series, with what a reduction remembers of each. With more of them all of it is
 * forgotten at once, and so it is by a restart: the next reading of every series is kept then.
 */
import { freshState, type ReduceState } from '@tributary/shared/reduce/state'
import { matchesGlob } from './glob.ts'
import type { Policy } from './policy.ts'

const maxSeries = 50_000

/** A series under a policy. */
export interface Governed {
  readonly policy: Policy
  /** Of the readings committed so far. */
  reduced: ReduceState
}

export class SeriesPolicies {
  readonly policies: readonly Policy[]
  private found = new Map<string, Map<string, Governed | null>>()
  private count = 0

  constructor(policies: readonly Policy[]) {
    this.policies = policies
  }

  of(device: string, metric: string): Governed | null {
    if (this.policies.length === 0) return null
    const known = this.found.get(device)?.get(metric)
    if (known !== undefined) return known
    const policy = this.policies.find(one => matchesGlob(one.device, device) && matchesGlob(one.metric, metric))
    const governed = policy ? { policy, reduced: freshState() } : null
    this.remember(device, metric, governed)
    return governed
  }

  private remember(device: string, metric: string, governed: Governed | null): void {
    if (this.count === maxSeries) {
      this.found = new Map()
      this.count = 0
    }
    const metrics = this.found.get(device) ?? new Map()
    this.found.set(device, metrics)
    metrics.set(metric, governed)
    this.count++
  }
}
