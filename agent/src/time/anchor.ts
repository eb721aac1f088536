/** Where a boot's clock stands in time. Pure. */

/** It was `timeUs` (since 1970 UTC) when the boot's clock said `bootUs`; from there time runs by 1 + `rate` of that clock. */
export interface Anchor {
  readonly bootUs: number
  readonly timeUs: number
  readonly rate: number
}

/** The time at a moment of the boot's clock, whole µs since 1970 UTC. */
export function timeAt({ bootUs, timeUs, rate }: Anchor, atUs: number): number {
  return Math.round(timeUs + (atUs - bootUs) * (1 + rate))
}
