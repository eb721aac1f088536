/** Seconds for `Retry-After`: spread, so that a fleet turned away together does not come back together. */
const minS = 1
const spreadS = 10

export function spreadRetryAfterS(random: () => number = Math.random): number {
  return minS + Math.floor(random() * spreadS)
}
