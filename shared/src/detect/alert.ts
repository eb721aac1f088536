/**
 * From surprises to alerts: when one opens, what raises it, when it closes. State is five doubles of the series' slot.
 *
 *   none ──S ≥ open, let through by the cool-down──► open ──calm──► closed ──the bar is forgotten──► none
 *                                                     ▲               │
 *                                                     └── higher S ───┘
 * While it is open, or closed with the cool-down still running, a higher S that is let through raises the same alert (and opens it
 * again). While the series is still learning, an S has to be critical to count: a spread learnt from fifty readings cannot support odds of
 * 1 in 30 (250 young series of a simulated fleet, 80 readings each: 99 alerts at S ≥ 1.5, 17 at S ≥ 2.5, most of them machines that
 * were switched on or off). Calm is S < 0.6·open for ten readings and five minutes of event time, the first of them calm itself.
 */
import { field } from './layout.ts'
import type { Finding, Shard } from './shard.ts'

export interface AlertRule {
  /** S at which an alert opens. */
  readonly open: number
  /** S at which it is critical. */
  readonly critical: number
}

export const alertRule: AlertRule = { open: 1.5, critical: 2.5 }

const calmShare = 0.6
export const calmReadings = 10
export const calmUs = 5 * 60 * 1e6

const phase = { none: 0, open: 1, closed: 2 } as const

/** `raised`: opened, escalated or opened again: the finding is the alert's new peak. */
export type Transition = 'raised' | 'closed' | null

/** Take in the finding of the reading just fed. The alert meant is `openedUs(shard, slot)`. */
export function advanceAlert(shard: Shard, slot: number, tsUs: number, finding: Finding, rule: AlertRule): Transition {
  const { scalars, layout } = shard
  const at = slot * layout.scalarStride
  const now = scalars[at + field.phase]!
  if (finding.alert >= (finding.learning ? rule.critical : rule.open)) {
    const same = now === phase.open || (now === phase.closed && finding.bar >= rule.open)
    scalars[at + field.calm] = 0
    if (same && finding.alert <= scalars[at + field.peak]!) return null
    if (!same) scalars[at + field.openedUs] = tsUs
    scalars[at + field.phase] = phase.open
    scalars[at + field.peak] = finding.alert
    return 'raised'
  }
  if (now !== phase.open) return null
  if (finding.surprise >= calmShare * rule.open) {
    scalars[at + field.calm] = 0
    return null
  }
  const calm = scalars[at + field.calm]! + 1
  scalars[at + field.calm] = calm
  if (calm === 1) scalars[at + field.calmSinceUs] = tsUs
  if (calm < calmReadings || tsUs - scalars[at + field.calmSinceUs]! < calmUs) return null
  scalars[at + field.phase] = phase.closed
  return 'closed'
}

/** Event time at which the slot's latest alert opened, µs. */
export function openedUs(shard: Shard, slot: number): number {
  return shard.scalars[slot * shard.layout.scalarStride + field.openedUs]!
}
