/**
 * What a consumer has recorded of the batches it took: identities (agent, epoch, seq) as ranges of seq, how many readings, how far
 * the agent is settled with them (its floor), digests, the loss ledger.
 *
 * Everything is read and written in the consumer's own transaction; the rows of `received` are locked first, so that two writers
 * of one agent's batches come one after the other.
 */
import type { LossRange } from '@tributary/shared/batch/batch'
import type pg from 'pg'

export interface Identity {
  readonly agentNo: number
  readonly epoch: number
  readonly seq: number
}

export interface ReportedLoss {
  readonly agentNo: number
  readonly loss: LossRange
}

/** Ranges [from, to) of seq, rising, not touching. */
type Ranges = readonly (readonly [number, number])[]

/** The identities recorded before this transaction, for the agents and epochs of `wanted`; their rows stay locked until its end. */
export async function lockIdentities(
  tx: pg.PoolClient,
  consumer: string,
  wanted: readonly Identity[],
): Promise<(identity: Identity) => boolean> {
  const streams = distinctStreams(wanted)
  const values = [consumer, streams.map(({ agentNo }) => agentNo), streams.map(({ epoch }) => epoch)]
  const select = () =>
    tx.query<{ agent_no: number; epoch: number; seqs: string }>({
      name: 'lock-identities',
      text: `select agent_no, epoch, seqs::text from received
             where consumer = $1 and (agent_no, epoch) in (select * from unnest($2::int[], $3::int8[]))
             order by agent_no, epoch for update`,
      values,
    })
  let { rows } = await select()
  if (rows.length < streams.length) {
    await tx.query(
      `insert into received (consumer, agent_no, epoch)
       select $1, agent_no, epoch from unnest($2::int[], $3::int8[]) as wanted (agent_no, epoch)
       order by agent_no, epoch
       on conflict do nothing`,
      values,
    )
    rows = (await select()).rows
  }
  const known = new Map(rows.map(row => [`${row.agent_no}/${row.epoch}`, parseRanges(row.seqs)]))
  return ({ agentNo, epoch, seq }) => contains(known.get(`${agentNo}/${epoch}`) ?? [], seq)
}

/** A batch that came, with what it says of its epoch. */
export interface Arrival extends Identity {
  /** Its effect is part of this transaction: it did not come before. */
  readonly fresh: boolean
  readonly readings: number
  /** Below it everything of the epoch was sent or is in the agent's ledger. */
  readonly floor: number
}

/** Add to `received`: seqs and readings of the fresh ones, and the floors of all. A floor above its own batch is none. */
export async function recordArrivals(tx: pg.PoolClient, consumer: string, arrivals: readonly Arrival[]): Promise<void> {
  if (arrivals.length === 0) return
  await tx.query({
    name: 'record-arrivals',
    text: `update received r
           set seqs = r.seqs + added.seqs, readings = r.readings + added.readings, floor = greatest(r.floor, added.floor)
           from (
             select agent_no, epoch, max(least(floor, seq)) as floor,
                    coalesce(range_agg(int8range(seq, seq + 1)) filter (where fresh), '{}') as seqs,
                    coalesce(sum(readings) filter (where fresh), 0)::int8 as readings
             from unnest($2::int[], $3::int8[], $4::int8[], $5::bool[], $6::int8[], $7::int8[])
                    as came (agent_no, epoch, seq, fresh, readings, floor)
             group by agent_no, epoch
           ) added
           where r.consumer = $1 and r.agent_no = added.agent_no and r.epoch = added.epoch
             and (added.floor > r.floor or not isempty(added.seqs))`,
    values: [
      consumer,
      arrivals.map(({ agentNo }) => agentNo),
      arrivals.map(({ epoch }) => epoch),
      arrivals.map(({ seq }) => seq),
      arrivals.map(({ fresh }) => fresh),
      arrivals.map(({ readings }) => readings),
      arrivals.map(({ floor }) => floor),
    ],
  })
}

/** The digests of these identities, where they are still kept. */
export async function findDigests(tx: pg.PoolClient, identities: readonly Identity[]): Promise<(Buffer | null)[]> {
  if (identities.length === 0) return []
  const { rows } = await tx.query<{ digest: Buffer | null }>(
    `select (select d.digest from batch_digest d
             where d.agent_no = wanted.agent_no and d.epoch = wanted.epoch and d.seq = wanted.seq limit 1) as digest
     from unnest($1::int[], $2::int8[], $3::int8[]) with ordinality as wanted (agent_no, epoch, seq, ord)
     order by ord`,
    [identities.map(({ agentNo }) => agentNo), identities.map(({ epoch }) => epoch), identities.map(({ seq }) => seq)],
  )
  return rows.map(({ digest }) => digest)
}

export async function recordDigests(
  tx: pg.PoolClient,
  taken: readonly (Identity & { readonly digest: Uint8Array })[],
): Promise<void> {
  if (taken.length === 0) return
  await tx.query({
    name: 'record-digests',
    text: `insert into batch_digest (agent_no, epoch, seq, digest)
           select agent_no, epoch, seq, substring($4::bytea from 32 * (ord::int - 1) + 1 for 32)
           from unnest($1::int[], $2::int8[], $3::int8[]) with ordinality as taken (agent_no, epoch, seq, ord)`,
    values: [
      taken.map(({ agentNo }) => agentNo),
      taken.map(({ epoch }) => epoch),
      taken.map(({ seq }) => seq),
      Buffer.concat(taken.map(({ digest }) => digest)),
    ],
  })
}

/** Add what agents reported as lost to `received.lost`, and to the table `loss` when `keepLedger`; how many readings are new there. */
export async function recordLosses(
  tx: pg.PoolClient,
  consumer: string,
  reported: readonly ReportedLoss[],
  keepLedger: boolean,
): Promise<number> {
  let readings = 0
  for (const { agentNo, loss } of reported) {
    const values = [agentNo, loss.epoch, loss.fromSeq, loss.toSeq]
    if (keepLedger) {
      const { rowCount } = await tx.query(
        `insert into loss (agent_no, epoch, from_seq, to_seq, readings, exact, reason)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [...values, loss.readings, loss.exact, loss.reason],
      )
      if (rowCount === 1) readings += loss.readings
    }
    if (loss.fromSeq > loss.toSeq) continue // rows that no batch had taken up yet
    await tx.query(
      `insert into received (consumer, agent_no, epoch, lost) values ($5, $1, $2, int8multirange(int8range($3, $4, '[]')))
       on conflict (consumer, agent_no, epoch) do update set lost = received.lost + excluded.lost
       where not received.lost @> excluded.lost`,
      [...values, consumer],
    )
  }
  return readings
}

function distinctStreams(identities: readonly Identity[]): { agentNo: number; epoch: number }[] {
  const streams = new Map(identities.map(({ agentNo, epoch }) => [`${agentNo}/${epoch}`, { agentNo, epoch }]))
  return [...streams.values()].sort((a, b) => a.agentNo - b.agentNo || a.epoch - b.epoch)
}

/** `{[1,5),[7,8)}` */
function parseRanges(text: string): Ranges {
  return [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(match => [Number(match[1]), Number(match[2])] as const)
}

function contains(ranges: Ranges, seq: number): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ranges[middle]?.[1] ?? 0) <= seq) low = middle + 1
    else high = middle
  }
  return (ranges[low]?.[0] ?? Number.POSITIVE_INFINITY) <= seq
}
