/**
 * What the hub's answer to a batch means for the agent. Pure.
 *
 * | verdict | when | then |
 * |---|---|---|
 * | stored | 200 that reads as a `BatchAnswer` | acknowledge |
 * | clock-skew | 401 `clock-skew` | correct the clock if the answer is signed, and sign again |
 * | conflict | 409 `conflict`: the hub has other contents under this identity | seal again under another epoch, once; else as held |
 * | held | 400 409 413 415 422: this batch | set it aside, go on with the next, try it again slowly |
 * | refused | 401 403 and any other 3xx, 4xx: this agent, or not a hub | keep everything, try again slowly |
 * | later | 408 429 5xx, or a 200 that is no answer | back off |
 *
 * Nothing here drops a batch: only `stored` ends one.
 */
import type { ErrorCode } from '@tributary/shared/errors'
import {
  type BatchAnswer,
  type BatchConflict,
  maxRecallsInAnswer,
  maxToldConflicts,
  type Recall,
} from '@tributary/shared/protocol'
import { limits } from '@tributary/shared/reading'
import type { HubAnswer } from '../identity/hub-connection.ts'
import { parseProblem } from '../identity/problem.ts'

export type Verdict =
  | { readonly kind: 'stored'; readonly answer: ReadAnswer }
  | { readonly kind: 'clock-skew'; readonly hubTimeMs: number | null }
  | (Omit<Setback, 'kind'> & { readonly kind: 'conflict' })
  | Setback

export interface Setback {
  readonly kind: 'held' | 'refused' | 'later'
  readonly code: ErrorCode
  /** One line for people. */
  readonly detail: string
  readonly retryAfterS: number | null
}

export interface ReadAnswer extends Omit<BatchAnswer, 'rejected' | 'recalls'> {
  /** Readings and aggregates refused, by reason. */
  readonly rejected: ReadonlyMap<string, number>
  readonly recalls: readonly Recall[]
}

/** Statuses that speak about the batch, not about the agent. */
const aboutTheBatch: ReadonlySet<number> = new Set([400, 409, 413, 415, 422])

/** @param entries readings and aggregates that the batch has, which are counted on in this order: no more can be rejected */
export function judge(answer: HubAnswer, entries: number): Verdict {
  const { status } = answer
  if (status === 200) {
    const stored = readBatchAnswer(answer.body, entries)
    if (stored) return { kind: 'stored', answer: stored }
    return {
      kind: 'later',
      code: 'malformed',
      detail: 'the hub answered 200 with something that is no answer',
      retryAfterS: null,
    }
  }
  const { code, named, detail, retryAfterS, hubTimeMs } = parseProblem(answer)
  if (code === 'clock-skew') return { kind: 'clock-skew', hubTimeMs }
  const said = { code, detail: `HTTP ${status}: ${detail}`, retryAfterS }
  if (code === 'conflict' && named) return { kind: 'conflict', ...said }
  if (aboutTheBatch.has(status)) return { kind: 'held', ...said }
  if (status === 408 || status === 429 || status >= 500) return { kind: 'later', ...said }
  return { kind: 'refused', ...said }
}

function readBatchAnswer(body: Uint8Array, entries: number): ReadAnswer | null {
  const value = readObject(body)
  if (!value || !Array.isArray(value.rejected) || value.rejected.length > entries) return null
  const rejected = countReasons(value.rejected, entries)
  const { accepted, settled, desiredConfigVersion, credits } = value
  const conflicts = readConflicts(value.conflicts)
  // A hub that does not say it says nothing of what it lost either.
  const reached = isCount(value.reached) ? value.reached : 0
  if (!rejected || !isCount(accepted) || !isCount(settled) || !isCount(desiredConfigVersion) || !isCount(credits))
    return null
  const recalls = readRecalls(value.recalls)
  return { accepted, settled, desiredConfigVersion, credits, rejected, conflicts, reached, recalls }
}

/** A hub that does not know of them names none; what does not read as one is passed over, as it names nothing that is here. */
function readConflicts(value: unknown): BatchConflict[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, maxToldConflicts).flatMap((entry: Partial<BatchConflict> | null) => {
    const { epoch, seq, digest } = entry ?? {}
    const isWhole = isCount(epoch) && isCount(seq) && typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest)
    return isWhole ? [{ epoch, seq, digest }] : []
  })
}

/** What does not read as a recall is passed over: the batch is stored all the same. */
function readRecalls(value: unknown): Recall[] {
  return Array.isArray(value) ? value.slice(0, maxRecallsInAnswer).filter(isRecall) : []
}

function isRecall(value: unknown): value is Recall {
  if (typeof value !== 'object' || value === null) return false
  const { id, device, metric, fromUs, toUs } = value as Record<string, unknown>
  return isCount(id) && isName(device) && isName(metric) && Number.isSafeInteger(fromUs) && Number.isSafeInteger(toUs)
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= limits.nameBytes
}

function countReasons(rejected: readonly unknown[], entries: number): Map<string, number> | null {
  const counts = new Map<string, number>()
  for (const entry of rejected) {
    if (typeof entry !== 'object' || entry === null || !('index' in entry) || !('reason' in entry)) return null
    const { index, reason } = entry
    if (!isCount(index) || index >= entries || typeof reason !== 'string') return null
    // A reason that this build does not know is counted, not trusted to be short.
    const name = /^[a-z0-9-]{1,32}$/.test(reason) && counts.size < 16 ? reason : 'other'
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

function readObject(body: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
