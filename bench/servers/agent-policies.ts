/**
 * The agent's buffer under a policy, for the bench `policies`: 100 machines at 10 Hz, a commit for each of their rounds, everything sealed
 * into batches of 1,000 once a second of theirs and acknowledged. `node bench/servers/agent-policies.ts FOLDER raw|deadband|aggregate ROUNDS` prints
 * the bytes written to the disk and those of the batches, and what the readings became.
 */
import type { Policy } from '../../agent/src/aggregate/policy.ts'
import { openBuffer } from '../../agent/src/buffer/sqlite-buffer.ts'
import { tenHertz } from '../load/ten-hertz.ts'
import { writtenBytes } from '../load/written-bytes.ts'

const machines = 100
const [folder, side, rounds] = process.argv.slice(2)
const minute = { sizeUs: 60e6, hopUs: 60e6, latenessUs: 1e6, idleMs: 60_000, quantiles: false }
const policy: Policy = { device: '*', metric: '*', mode: 'raw', class: 'raw', window: minute, reduce: null }
const policies: Record<string, Policy[]> = {
  raw: [],
  deadband: [{ ...policy, reduce: { kind: 'deadband', band: 0.1, heartbeatUs: 60e6 } }],
  aggregate: [{ ...policy, mode: 'aggregate' }],
}
const buffer = await openBuffer({
  folder: folder!,
  agentId: () => 'ag-bench',
  windowMs: 0,
  maxGroupReadings: machines,
  ballastBytes: 0,
  policies: policies[side!] ?? [],
})
const before = writtenBytes()
let wireBytes = 0
let commitMs = 0
let round = 0
for (const readings of tenHertz(machines, Number(rounds))) {
  const startMs = performance.now()
  await new Promise<void>((resolve, reject) =>
    buffer.accept({ readings, deadLetter: null, receipt: null, maybeDuplicate: false }, error =>
      error === null ? resolve() : reject(error),
    ),
  )
  commitMs += performance.now() - startMs
  if (++round % 10 === 0) await send()
}
await send()
const { counters } = await buffer.stats()
await buffer.close()
console.log(JSON.stringify({ writtenBytes: writtenBytes() - before, wireBytes, commitMs, counters }))

async function send(): Promise<void> {
  for (let batch = await buffer.seal(1000, 'live'); batch; batch = await buffer.seal(1000, 'live')) {
    wireBytes += batch.body.length
    await buffer.acknowledge(batch.epoch, batch.seq)
  }
}
