/**
 * The detectors' rows: states at the last snapshot, and the checkpoint that says which records came after it.
 */
import type { Pool, PoolClient } from 'pg'

export interface StateRow {
  readonly seriesId: number
  readonly state: Uint8Array
  readonly frontierUs: number | null
  readonly readings: number
  readonly late: number
}

/** Offsets, ascending, as half-open ranges. */
export type OffsetRanges = readonly (readonly [from: bigint, to: bigint])[]

/** How far a partition's anomalies have come. */
export interface Progress {
  /** Newest record whose anomalies are stored. */
  readonly lastOffset: bigint
  /** SHA-256 of that record's batch: tells another log under the same name. */
  readonly lastDigest: Uint8Array
}

export interface Checkpoint extends Progress {
  /** Records that came after the stored states. */
  readonly pending: OffsetRanges
}

/**
 * The partition's checkpoint, or null before the first record. `lock` holds it until the transaction's end; `skip locked` does
 * too, and answers null while another transaction holds it.
 */
export async function readCheckpoint(
  tx: Pool | PoolClient,
  partition: number,
  mode: 'look' | 'lock' | 'skip locked' = 'look',
): Promise<Checkpoint | null> {
  const { rows } = await tx.query<{ last_offset: string; last_digest: Uint8Array; pending: string }>(
    `select last_offset::text, last_digest, pending::text from detector_checkpoint where partition = $1 ${lockClauses[mode]}`,
    [partition],
  )
  const row = rows[0]
  if (row === undefined) return null
  return { lastOffset: BigInt(row.last_offset), lastDigest: row.last_digest, pending: parseRanges(row.pending) }
}

const lockClauses = { look: '', lock: 'for update', 'skip locked': 'for update skip locked' } as const

/** These records were applied; their states are in memory only. */
export async function addPending(
  tx: PoolClient,
  partition: number,
  { lastOffset, lastDigest }: Progress,
  offsets: readonly bigint[],
): Promise<void> {
  await tx.query(
    `insert into detector_checkpoint as c (partition, last_offset, last_digest, pending) values ($1, $2, $3, $4::int8multirange)
     on conflict (partition) do update set
       last_offset = excluded.last_offset, last_digest = excluded.last_digest, pending = c.pending + excluded.pending`,
    [partition, lastOffset, lastDigest, formatRanges(offsets)],
  )
}

/** States as of `lastOffset`, and nothing pending. */
export async function writeSnapshot(
  tx: PoolClient,
  partition: number,
  detector: string,
  { lastOffset, lastDigest }: Progress,
  states: readonly StateRow[],
): Promise<void> {
  await tx.query(
    `insert into detector_checkpoint (partition, last_offset, last_digest, pending) values ($1, $2, $3, '{}')
     on conflict (partition) do update set
       last_offset = excluded.last_offset, last_digest = excluded.last_digest, pending = '{}', snapshot_at = now()`,
    [partition, lastOffset, lastDigest],
  )
  for (let from = 0; from < states.length; from += statesAStatement) {
    const chunk = states.slice(from, from + statesAStatement)
    await tx.query(
      `insert into detector_state (series_id, detector, state, frontier_us, readings, late)
       select series_id, $1, state, frontier_us, readings, late
       from unnest($2::int[], $3::bytea[], $4::int8[], $5::int8[], $6::int8[]) as s (series_id, state, frontier_us, readings, late)
       on conflict (series_id, detector) do update set state = excluded.state, frontier_us = excluded.frontier_us,
         readings = excluded.readings, late = excluded.late, updated_at = now()`,
      [
        detector,
        chunk.map(row => row.seriesId),
        chunk.map(row => row.state),
        chunk.map(row => row.frontierUs),
        chunk.map(row => row.readings),
        chunk.map(row => row.late),
      ],
    )
  }
}

/** 1,000 states are 2 MB of parameters. */
const statesAStatement = 1000

/** Stored states of these series; a series without one is left out. */
export async function readStates(
  tx: Pool | PoolClient,
  detector: string,
  seriesIds: readonly number[],
): Promise<{ seriesId: number; state: Uint8Array }[]> {
  const { rows } = await tx.query<{ series_id: number; state: Uint8Array }>(
    'select series_id, state from detector_state where detector = $1 and series_id = any($2::int[])',
    [detector, seriesIds],
  )
  return rows.map(row => ({ seriesId: row.series_id, state: row.state }))
}

/** `{[5,8),[9,10)}` as Postgres prints a normalised int8multirange. */
function parseRanges(text: string): OffsetRanges {
  return [...text.matchAll(/\[(-?\d+),(-?\d+)\)/g)].map(
    match => [BigInt(match[1] ?? 0), BigInt(match[2] ?? 0)] as const,
  )
}

function formatRanges(offsets: readonly bigint[]): string {
  return `{${offsets.map(offset => `[${offset},${offset}]`).join()}}`
}
