/**
 * Anomalies as rows. An anomaly's id is derived from (series, detector, event time of its opening): whoever computes it again,
 * after a crash or over a replayed log, writes the same row.
 */
import { createHash } from 'node:crypto'
import type { PoolClient } from 'pg'

export type Severity = 'warning' | 'critical'

/** An anomaly at its peak. */
export interface Peak {
  readonly surprise: number
  readonly score: number
  readonly severity: Severity
  readonly stream: string
  readonly value: number
  /** What the winning stream compared the value with; null where that cannot be said in the value's unit. */
  readonly expected: number | null
  readonly seenBefore: number
  readonly learning: boolean
}

/** What became of an anomaly since it was last written. */
export interface AnomalyChange {
  readonly seriesId: number
  readonly detector: string
  readonly openedUs: number
  /** Null when it only closed. */
  peak: Peak | null
  /** Null while it is open. */
  closedUs: number | null
}

/** Namespace of the ids (RFC 9562 §5.5), drawn once. */
const namespace = Buffer.from('5d3a0e7c8f0b4b0e9d5246f1c27a9e83', 'hex')

/** UUIDv5 of (series, detector, opening). */
export function anomalyId(seriesId: number, detector: string, openedUs: number): string {
  const hash = createHash('sha1').update(namespace).update(`${seriesId}/${detector}/${openedUs}`).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

/** Upsert what opened or rose, close what only closed. */
export async function writeAnomalies(tx: PoolClient, changes: Iterable<AnomalyChange>): Promise<void> {
  const raised: [AnomalyChange, Peak][] = []
  const closed: AnomalyChange[] = []
  for (const change of changes) {
    if (change.peak !== null) raised.push([change, change.peak])
    else closed.push(change)
  }
  if (raised.length > 0) await upsert(tx, raised)
  if (closed.length > 0) await close(tx, closed)
}

async function upsert(tx: PoolClient, raised: readonly [AnomalyChange, Peak][]): Promise<void> {
  const column = <T>(of: (change: AnomalyChange, peak: Peak) => T) => raised.map(([change, peak]) => of(change, peak))
  await tx.query(
    `insert into anomaly (anomaly_id, series_id, detector, opened_us, closed_us, surprise, score, severity, stream, value,
       expected, seen_before, learning)
     select * from unnest($1::uuid[], $2::int[], $3::text[], $4::int8[], $5::int8[], $6::float8[], $7::float8[], $8::text[],
       $9::text[], $10::float8[], $11::float8[], $12::float8[], $13::boolean[])
     on conflict (anomaly_id) do update set
       closed_us = excluded.closed_us, surprise = excluded.surprise, score = excluded.score, severity = excluded.severity,
       stream = excluded.stream, value = excluded.value, expected = excluded.expected, seen_before = excluded.seen_before,
       learning = excluded.learning, updated_at = now()`,
    [
      column(idOf),
      column(change => change.seriesId),
      column(change => change.detector),
      column(change => change.openedUs),
      column(change => change.closedUs),
      column((_, peak) => peak.surprise),
      column((_, peak) => peak.score),
      column((_, peak) => peak.severity),
      column((_, peak) => peak.stream),
      column((_, peak) => peak.value),
      column((_, peak) => peak.expected),
      column((_, peak) => peak.seenBefore),
      column((_, peak) => peak.learning),
    ],
  )
}

async function close(tx: PoolClient, closed: readonly AnomalyChange[]): Promise<void> {
  await tx.query(
    `update anomaly set closed_us = c.closed_us, updated_at = now()
     from unnest($1::uuid[], $2::int8[]) as c (anomaly_id, closed_us)
     where anomaly.anomaly_id = c.anomaly_id`,
    [closed.map(idOf), closed.map(change => change.closedUs)],
  )
}

function idOf(change: AnomalyChange): string {
  return anomalyId(change.seriesId, change.detector, change.openedUs)
}
