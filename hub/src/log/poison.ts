/**
 * Finding the records that make a transaction fail, by halving: a part that can be applied is innocent, a part that cannot is cut
 * in two. k culprits among n records cost about k · log₂ n trials.
 */

/** `records` failed together with `error`; `tryOut` returns null when some can be applied together. Those that fail alone are returned. */
export async function findPoison<T>(
  records: readonly T[],
  error: unknown,
  tryOut: (records: readonly T[]) => Promise<unknown>,
): Promise<Map<T, unknown>> {
  const [first] = records
  if (records.length === 1 && first !== undefined) return new Map([[first, error]])
  const found = new Map<T, unknown>()
  const middle = records.length >> 1
  for (const half of [records.slice(0, middle), records.slice(middle)]) {
    const halfError = await tryOut(half)
    if (halfError === null) continue
    for (const [record, why] of await findPoison(half, halfError, tryOut)) found.set(record, why)
  }
  return found
}
