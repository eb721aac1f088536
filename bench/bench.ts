/** What a bench is: two things compared in one run, interleaved, with medians; the other side is honest and in its own file. */
import type { CommandOption } from '@tributary/shared/cli'

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Comparison {
  readonly ours: Spread
  /** `what` says what the other side is. */
  readonly other: (Spread & { readonly what: string }) | null
  /** Above 1: ours is better. Null without another side. */
  readonly ratio: number | null
  readonly unit: string
  readonly runs: number
  /** Figures that belong beside the comparison. */
  readonly figures?: Readonly<Record<string, unknown>>
}

export interface BenchResult extends Comparison {
  /** Several cases: each by name; the result itself is the worst of them. */
  readonly variants?: Readonly<Record<string, Comparison>>
}

export interface BenchContext {
  readonly values: Readonly<Record<string, string | undefined>>
  /** How many times each side runs; at least 5. */
  readonly runs: number
  progress(text: string): void
  readonly signal: AbortSignal
}

export interface Bench {
  readonly name: string
  readonly summary: string
  readonly options: Readonly<Record<string, CommandOption>>
  run(context: BenchContext): Promise<BenchResult>
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}

export interface ComparisonInput {
  readonly ours: readonly number[]
  readonly other: readonly number[]
  readonly what: string
  readonly unit: string
  /** `rate`: more is better; `cost`: less is better. */
  readonly better: 'rate' | 'cost'
  readonly figures?: Readonly<Record<string, unknown>>
}

/** Two series of measurements, taken in turn, as a comparison of medians. */
export function compare({ ours, other, what, unit, better, figures }: ComparisonInput): Comparison {
  const [a, b] = [spread(ours), spread(other)]
  const ratio = better === 'rate' ? a.median / b.median : b.median / a.median
  return { ours: a, other: { ...b, what }, ratio, unit, runs: ours.length, ...(figures && { figures }) }
}

/** The worst of several cases, with all of them beside it. */
export function worstOf(variants: Readonly<Record<string, Comparison>>): BenchResult {
  const worst = Object.values(variants).reduce((a, b) => ((b.ratio ?? Infinity) < (a.ratio ?? Infinity) ? b : a))
  return { ...worst, variants }
}
