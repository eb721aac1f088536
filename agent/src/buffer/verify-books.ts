/** The books of a folder against its files: catalogue, row numbers, pending batches, high-water mark, ledger and counters. Pure. */
import { type Counters, withClasses } from './counters.ts'
import type { Mark } from './mark.ts'
import { isKnownHole } from './open-tail.ts'
import { decodeRowCounters } from './row-codec.ts'
import { closedFiles, type LedgerState, type Progress } from './state.ts'

/** What can be read of a file. */
export interface FileSummary {
  readonly no: number
  /** Unbroken runs of row numbers, first and last. */
  readonly rows: readonly (readonly [number, number])[]
  readonly lastRow: { readonly n: number; readonly data: Uint8Array } | null
  /** `epoch/seq` of the batches whose bodies it holds. */
  readonly batches: ReadonlySet<string>
  readonly states: ReadonlyMap<string, unknown>
}

interface VerifiedBooks {
  readonly counters: Counters | null
  readonly problems: string[]
}

/** A ledger as full as it gets has forgotten its first entries. */
const fullLedger = 1000

/** `files` in the order of their numbers. The last one is being written, and knows of the others. */
export function verifyBooks(files: readonly FileSummary[], mark: Mark | null): VerifiedBooks {
  const tail = files.at(-1)
  if (tail === undefined) return { counters: null, problems: [] }
  const progress = tail.states.get('progress') as Progress | undefined
  const catalogue = tail.states.get('catalogue')
  const ledger = tail.states.get('ledger') as LedgerState | undefined
  if (!progress || !catalogue || !ledger) {
    return { counters: null, problems: [`the last file, ${tail.no}, does not tell the state of the buffer`] }
  }
  const problems = [
    ...closedFiles(catalogue).flatMap(file => {
      const found = files.find(({ no }) => no === file.no)
      if (!found) return [`file ${file.no} with rows ${file.firstRow} to ${file.lastRow} is missing`]
      const batches = file.batches.flatMap(run => missingBatches(found, run.epoch, run.fromSeq, run.toSeq))
      return [...(file.holes ? [] : missingRows(found, file.firstRow, file.lastRow, [])), ...batches]
    }),
    ...missingRows(tail, progress.tailFirstRow, tail.lastRow?.n ?? 0, progress.holes),
    ...missingPending(files, progress),
  ]
  const lastRow = Math.max(tail.lastRow?.n ?? 0, progress.holes.at(-1)?.[1] ?? 0)
  if (mark !== null && mark.row > lastRow) {
    problems.push(`rows ${lastRow + 1} to ${mark.row} are missing at the end: the high-water mark knows of them`)
  }
  const newer = tail.lastRow !== null && tail.lastRow.n > progress.row ? decodeRowCounters(tail.lastRow.data) : null
  const counters = newer ?? withClasses(progress.counters, progress.counters.classes)
  return { counters, problems: [...problems, ...imbalances(counters, ledger)] }
}

function missingRows(file: FileSummary, first: number, last: number, known: Progress['holes']): string[] {
  const problems: string[] = []
  let next = first
  for (const [from, to] of [...file.rows, [last + 1, last + 1] as const]) {
    if (from > next && !isKnownHole(known, next, from - 1)) {
      problems.push(`rows ${next} to ${from - 1} are missing in file ${file.no}, or damaged`)
    }
    next = Math.max(next, to + 1)
  }
  return problems
}

function missingBatches(file: FileSummary, epoch: number, fromSeq: number, toSeq: number): string[] {
  const problems: string[] = []
  for (let seq = fromSeq; seq <= toSeq; seq++) {
    if (!file.batches.has(`${epoch}/${seq}`)) problems.push(`batch ${epoch}/${seq} is missing in file ${file.no}`)
  }
  return problems
}

/** Batches that the hub has not acknowledged have to be here. */
function missingPending(files: readonly FileSummary[], { epochs }: Progress): string[] {
  return epochs.flatMap(({ epoch, pending }) =>
    pending
      .filter(({ seq, file }) => files.find(({ no }) => no === file)?.batches.has(`${epoch}/${seq}`) !== true)
      .map(({ seq, file }) => `batch ${epoch}/${seq} is to be sent and missing in file ${file}`),
  )
}

function imbalances(counters: Counters, { entries }: LedgerState): string[] {
  const problems: string[] = []
  for (const { class: name, accepted, stored, folded, suppressed, evicted } of counters.classes) {
    const accounted = stored + folded + suppressed + evicted
    if (accepted !== accounted) {
      problems.push(`of ${accepted} accepted readings of class ${name} the counters account for ${accounted}`)
    }
  }
  const { accepted, stored, folded, suppressed, deadLettered, evicted } = counters
  const accounted = stored + folded + suppressed + deadLettered + evicted
  if (accepted !== accounted) problems.push(`of ${accepted} accepted readings the counters account for ${accounted}`)
  const inLedger = entries.reduce((sum, { readings }) => sum + readings, 0)
  if (entries.length < fullLedger && inLedger !== evicted) {
    problems.push(`the ledger names ${inLedger} lost readings, the counters ${evicted}`)
  }
  return problems
}
