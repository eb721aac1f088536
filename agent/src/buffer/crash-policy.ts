/** By which crash-child.ts folds: windows of 2000 µs, so that each of its series closes one every 40 readings. */
import type { Policy } from '../aggregate/policy.ts'

export const crashPolicy: Policy = {
  device: '*',
  metric: '*',
  mode: 'aggregate',
  class: 'raw',
  window: { sizeUs: 2000, hopUs: 2000, latenessUs: 500, idleMs: 60_000, quantiles: false },
  reduce: null,
}
