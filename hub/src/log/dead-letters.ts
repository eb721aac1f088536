/**
 * Writing to the table of what was refused. A letter is written once: a replay of the log writes the same stage, reason and
 * identity, which conflict and do nothing.
 */
import type pg from 'pg'

export interface DeadLetter {
  /** Unknown agents are written as null: the letter must never fail on what it complains about. */
  readonly agentNo: number | null
  /** `ingest`, or a consumer's group. */
  readonly stage: string
  readonly reason: string
  readonly epoch: number | null
  readonly seq: number | null
  readonly readings: number
  readonly detail: unknown
  readonly bytes: Uint8Array | null
}

export async function writeDeadLetter(tx: pg.PoolClient, letter: DeadLetter): Promise<void> {
  await tx.query(
    `insert into dead_letter (agent_no, stage, reason, epoch, seq, readings, detail, bytes)
     values ((select agent_no from agent where agent_no = $1), $2, $3, $4, $5, $6, $7, $8)
     on conflict do nothing`,
    [
      letter.agentNo,
      letter.stage,
      letter.reason,
      letter.epoch,
      letter.seq,
      letter.readings,
      // Postgres' jsonb holds no NUL.
      JSON.stringify(letter.detail).replaceAll('\\u0000', '\\ufffd'),
      letter.bytes === null ? null : Buffer.from(letter.bytes.buffer, letter.bytes.byteOffset, letter.bytes.byteLength),
    ],
  )
}
