/**
 * What to leave out of a series, decided reading by reading.
 *
 *   deadband          a number within `band`, or within `percent` of the magnitude, of the last one kept is suppressed
 *   report-on-change  a reading of the same value as the last one kept is suppressed
 *   every-nth         one reading of n is kept, the first of all included
 *   min-interval      readings less than `intervalUs` of event time after the last one kept are suppressed
 */
import { TributaryError } from '../errors.ts'

export type ReducePolicy =
  | { readonly kind: 'deadband'; readonly band: number; readonly heartbeatUs?: number }
  | { readonly kind: 'percent-deadband'; readonly percent: number; readonly heartbeatUs?: number }
  | { readonly kind: 'report-on-change'; readonly heartbeatUs?: number }
  | { readonly kind: 'every-nth'; readonly n: number }
  | { readonly kind: 'min-interval'; readonly intervalUs: number }

/** The policy, if it can be followed. Throws `config` for one that cannot. */
export function checkPolicy(policy: ReducePolicy): ReducePolicy {
  switch (policy.kind) {
    case 'deadband':
      requireNumber(policy.band, 'band')
      break
    case 'percent-deadband':
      requireNumber(policy.percent, 'percent')
      break
    case 'every-nth':
      requireWhole(policy.n, 'n')
      break
    case 'min-interval':
      requireWhole(policy.intervalUs, 'intervalUs')
      break
    case 'report-on-change':
      break
    default:
      return policy satisfies never
  }
  if ('heartbeatUs' in policy && policy.heartbeatUs !== undefined) requireWhole(policy.heartbeatUs, 'heartbeatUs')
  return policy
}

function requireNumber(value: number, name: string): void {
  if (!(value >= 0 && value < Number.POSITIVE_INFINITY))
    throw refused(`${name} is ${value}, not a number of at least 0`)
}

function requireWhole(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 1) throw refused(`${name} is ${value}, not a whole number of at least 1`)
}

function refused(what: string): TributaryError {
  return new TributaryError('config', `reduction: ${what}`)
}
