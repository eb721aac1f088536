/**
 * What the hub stored against the truth. Pure.
 *
 * A reading with a time of its own keeps it. Any other one must stand within `toleranceMs` of the moments at which it was handed over and
 * acknowledged, and be good, when a boot that had it gained trust; else between the last trusted time before and the start of the next
 * boot that gained it, and be uncertain. Within a boot times keep the order of arrival.
 */
import type { Sent } from './stamped-load.ts'

export const toleranceMs = 1000

export interface Stored {
  readonly device: string
  readonly n: number
  readonly us: number
  readonly quality: number
}

export interface BootTruth {
  /** True times, ms. */
  readonly startedMs: number
  trustedMs: number | null
  /** When its time was last known to be trusted; null when never. */
  endedTrustedMs: number | null
}

export interface Judgement {
  readonly acknowledged: number
  readonly lost: number
  readonly doubled: number
  /** Of those with a trusted time. */
  readonly exact: number
  readonly worstMs: number
  /** Outside of what they must be. */
  readonly wrongTime: number
  readonly uncertain: number
  readonly outsideInterval: number
  readonly wrongQuality: number
  readonly disordered: number
  readonly ownTimeChanged: number
  readonly examples: readonly string[]
}

export function judgeStamps(sent: readonly Sent[], stored: readonly Stored[], boots: readonly BootTruth[]): Judgement {
  const found = Map.groupBy(stored, ({ device, n }) => `${device}/${n}`)
  const counts = { lost: 0, doubled: 0, exact: 0, wrongTime: 0, uncertain: 0, outsideInterval: 0, wrongQuality: 0 }
  const more = { disordered: 0, ownTimeChanged: 0, worstMs: 0 }
  const examples: string[] = []
  const fail = (what: keyof typeof counts | keyof typeof more, reading: Sent, row: Stored | undefined) => {
    if (what in counts) counts[what as keyof typeof counts]++
    else more[what as keyof typeof more]++
    if (examples.length < 10) examples.push(`${what} ${JSON.stringify({ ...reading, row })}`)
  }
  const before = new Map<string, Stored & { readonly boot: number }>()
  const acknowledged = sent.filter(({ ackedMs }) => ackedMs > 0)
  for (const reading of acknowledged) {
    const rows = found.get(`${reading.device}/${reading.n}`) ?? []
    const [row] = rows
    if (!row) {
      fail('lost', reading, row)
      continue
    }
    if (rows.length > 1) fail('doubled', reading, row)
    if (reading.ownUs !== null) {
      if (row.us !== reading.ownUs || row.quality !== 0) fail('ownTimeChanged', reading, row)
      continue
    }
    const verdict = judgeOne(reading, row, boots)
    if (verdict.kind === 'exact') {
      counts.exact++
      more.worstMs = Math.max(more.worstMs, verdict.offMs)
      if (verdict.offMs > toleranceMs) fail('wrongTime', reading, row)
    } else {
      counts.uncertain++
      if (!verdict.inside) fail('outsideInterval', reading, row)
    }
    if (verdict.wrongQuality) fail('wrongQuality', reading, row)
    const last = before.get(reading.device)
    if (last && last.boot === reading.ackedBoot && row.us < last.us) fail('disordered', reading, row)
    if (reading.sentBoot === reading.ackedBoot) before.set(reading.device, { ...row, boot: reading.ackedBoot })
  }
  return { acknowledged: acknowledged.length, ...counts, ...more, examples }
}

type Verdict = { readonly wrongQuality: boolean } & (
  | { readonly kind: 'exact'; readonly offMs: number }
  | { readonly kind: 'uncertain'; readonly inside: boolean }
)

/** Between two boots either may have stored it: whichever way its quality says. */
function judgeOne({ sentMs, ackedMs, sentBoot, ackedBoot }: Sent, row: Stored, boots: readonly BootTruth[]): Verdict {
  const of = boots.slice(sentBoot, ackedBoot + 1)
  const mayBeExact = of.some(({ trustedMs }) => trustedMs !== null)
  const mayBeUncertain = of.some(({ trustedMs }) => trustedMs === null)
  const atMs = row.us / 1000
  if (row.quality === 0 ? mayBeExact : !mayBeUncertain) {
    const offMs = Math.max(0, sentMs - atMs, atMs - ackedMs)
    return { kind: 'exact', offMs, wrongQuality: row.quality !== 0 }
  }
  const fromMs = boots.slice(0, sentBoot).findLast(boot => boot.endedTrustedMs !== null)?.trustedMs ?? 0
  const toMs = boots.slice(sentBoot + 1).find(boot => boot.trustedMs !== null)?.startedMs ?? Infinity
  const inside = atMs >= fromMs - toleranceMs && atMs <= toMs + toleranceMs
  return { kind: 'uncertain', inside, wrongQuality: row.quality !== 1 }
}
