/**
 * What of an epoch is neither stored nor in the agent's ledger, as pieces of SQL on a row of `received`. Below the floor the agent has
 * settled everything, so a hole there is a loss that nobody reported; above it a hole is what the agent still holds.
 */

export function missingSeqs(received: string): string {
  return `(int8multirange(int8range(1, ${received}.floor)) - ${received}.seqs - ${received}.lost)`
}

export function seqsOnTheirWay(received: string): string {
  const highest = `coalesce(upper(${received}.seqs + ${received}.lost), 1)`
  return `(int8multirange(int8range(${received}.floor, greatest(${received}.floor, ${highest}))) - ${received}.seqs - ${received}.lost)`
}

/** How many seqs a multirange holds. */
export function countSeqs(seqs: string): string {
  return `(select coalesce(sum(upper(run) - lower(run)), 0)::int8 from unnest(${seqs}) as run)`
}
