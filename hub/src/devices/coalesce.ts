/**
 * Many questions, one query: what is asked for within one turn of the event loop goes to the database together. A fleet that comes
 * back at once costs a query a turn, not a query an agent.
 */

/** At most this many keys in one query. */
const maxKeys = 1000

/** `load` answers for many keys; a key that it leaves out is `undefined` for whoever asked. A failed load fails everybody in it. */
export function coalesce<K, V>(
  load: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>,
): (key: K) => Promise<V | undefined> {
  let waiting = new Map<K, PromiseWithResolvers<V | undefined>>()

  const flush = async (asked: ReadonlyMap<K, PromiseWithResolvers<V | undefined>>) => {
    try {
      const answers = await load([...asked.keys()])
      for (const [key, { resolve }] of asked) resolve(answers.get(key))
    } catch (error) {
      for (const { reject } of asked.values()) reject(error)
    }
  }
  const take = () => {
    const asked = waiting
    waiting = new Map()
    return asked
  }

  return key => {
    const already = waiting.get(key)
    if (already !== undefined) return already.promise
    const mine = Promise.withResolvers<V | undefined>()
    if (waiting.size === 0) {
      setImmediate(() => {
        if (waiting.size > 0) void flush(take())
      })
    }
    waiting.set(key, mine)
    if (waiting.size >= maxKeys) void flush(take())
    return mine.promise
  }
}
