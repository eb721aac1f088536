/**
 * Compares what devices saw acknowledged with what stands in the hub's view `reading`, as multisets of (series, time, value bits).
 *
 * A key is `device/metric|µs|16 hex digits`: numbers by their bits, so that −0 is not 0. Each message is sent once in the sense of
 * the devices (retries are the same message), so a key's count in `sent` is the most that may be stored.
 */
import type { Pool } from 'pg'

export class Multiset {
  readonly counts = new Map<string, number>()

  add(key: string): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
  }

  get size(): number {
    let sum = 0
    for (const count of this.counts.values()) sum += count
    return sum
  }
}

export function readingKey(device: string, metric: string, tsUs: number, value: number): string {
  const bits = Buffer.allocUnsafe(8)
  bits.writeDoubleBE(value)
  return `${device}/${metric}|${tsUs}|${bits.toString('hex')}`
}

/** Everything in `reading`, a day of data at most a few million rows: read in pages by a cursor. `counts`: only what it says yes to. */
export async function storedReadings(pool: Pool, counts: (key: string) => boolean = () => true): Promise<Multiset> {
  const stored = new Multiset()
  const client = await pool.connect()
  try {
    await client.query('begin read only')
    await client.query(`declare page no scroll cursor for
      select s.device, s.metric, (extract(epoch from r.ts) * 1000000)::bigint::text as us, encode(float8send(r.value), 'hex') as bits
      from reading r join series s using (series_id)`)
    for (;;) {
      const { rows } = await client.query<{ device: string; metric: string; us: string; bits: string }>(
        'fetch 20000 from page',
      )
      for (const { device, metric, us, bits } of rows) {
        const key = `${device}/${metric}|${us}|${bits}`
        if (counts(key)) stored.add(key)
      }
      if (rows.length === 0) break
    }
    await client.query('rollback')
  } finally {
    client.release()
  }
  return stored
}

export interface Difference {
  /** Acknowledged, and not stored (as often). */
  readonly lost: number
  /** Stored more often than it was sent. */
  readonly duplicated: number
  /** A few of each, for a person. */
  readonly examples: readonly string[]
}

export function difference(sent: Multiset, acknowledged: Multiset, stored: Multiset): Difference {
  let lost = 0
  let duplicated = 0
  const examples: string[] = []
  const example = (what: string, key: string) => void (examples.length < 10 && examples.push(`${what} ${key}`))
  for (const [key, count] of acknowledged.counts) {
    const missing = count - (stored.counts.get(key) ?? 0)
    if (missing <= 0) continue
    lost += missing
    example('lost', key)
  }
  for (const [key, count] of stored.counts) {
    const extra = count - (sent.counts.get(key) ?? 0)
    if (extra <= 0) continue
    duplicated += extra
    example('duplicated', key)
  }
  return { lost, duplicated, examples }
}
