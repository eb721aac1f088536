/**
 * An agent for proofs without a hub: enrolled at one that never answers, so that it seals batches and keeps them; and what its buffer
 * holds, read by opening it once the agent has ended.
 */
import { join } from 'node:path'
import type { LossRange } from '@tributary/shared/batch/batch'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { generateKeyPair, publicKeyText } from '@tributary/shared/signature-keys'
import { openBuffer } from '../../agent/src/buffer/sqlite-buffer.ts'
import type { Sabotage } from '../../agent/src/buffer/state.ts'
import { writeIdentityFile } from '../../agent/src/identity/identity-file.ts'
import { Multiset, readingKey } from '../harness/multiset.ts'

const agentId = 'ag-abcdefghij2345klmnop'
const pageBatches = 100

/** Give the agent of this data folder an identity. Nobody listens on the hub's port (discard, RFC 863). */
export async function enrollNowhere(dataDir: string): Promise<void> {
  const enrolment = {
    hub: 'http://127.0.0.1:9',
    agentId,
    site: 'proof',
    name: 'proof',
    hubKey: publicKeyText(generateKeyPair().publicKey),
  }
  await writeIdentityFile(dataDir, { key: generateKeyPair(), enrolment, nextKey: null })
}

export interface BufferContents {
  readonly stored: Multiset
  readonly losses: readonly LossRange[]
}

/** Everything that would reach the hub, and the ledger that would go with it. */
export async function readBuffer(dataDir: string, sabotage: Sabotage | null = null): Promise<BufferContents> {
  const buffer = await openBuffer({
    folder: join(dataDir, 'buffer'),
    worker: false,
    ballastBytes: 0,
    agentId: () => agentId,
    sabotage,
  })
  const stored = new Multiset()
  try {
    for (
      let page = await buffer.pending(pageBatches);
      page.length > 0;
      page = await buffer.pending(pageBatches, page.at(-1))
    )
      for (const { body } of page) addBatch(stored, body)
    for (const lane of ['backlog', 'live'] as const) {
      for (let batch = await buffer.seal(5000, lane); batch; batch = await buffer.seal(5000, lane))
        addBatch(stored, batch.body)
    }
    return { stored, losses: (await buffer.stats()).losses }
  } finally {
    await buffer.close()
  }
}

function addBatch(stored: Multiset, body: Uint8Array): void {
  for (const { series, tsUs, values } of decodeBatch(body).columns) {
    for (const [index, time] of tsUs.entries()) {
      stored.add(readingKey(series.device, series.metric, time, Number(values[index])))
    }
  }
}
