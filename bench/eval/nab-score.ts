/**
 * The score of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015, "Evaluating Real-Time Anomaly Detection Algorithms"), for a whole
 * corpus and one threshold.
 *
 * Of n rows of a file the first min(⌊0.15 n⌋, 750) are probation and not scored. With sig(y) = 2 / (1 + e^(5y)) − 1:
 * - a detection in a window of w rows whose last row is r: y = −(r − i + 1) / w, worth A_TP · sig(y) / sig(−1); a window counts by its
 *   best detection, or −A_FN where it has none and a row after probation;
 * - a detection outside: y = |i − r'| / (w' − 1) from the window before it (y > 3, or none: −1, else sig(y)), times A_FP.
 * The raw score is the sum over all files; normalised so that no detection at all is 0 and each window met at its first row is 100.
 */

/** Weights of a profile. */
export interface Profile {
  readonly truePositive: number
  readonly falseNegative: number
  readonly falsePositive: number
}

export const profiles = {
  standard: { truePositive: 1, falseNegative: 1, falsePositive: 0.11 },
  lowFP: { truePositive: 1, falseNegative: 1, falsePositive: 0.22 },
  lowFN: { truePositive: 1, falseNegative: 2, falsePositive: 0.11 },
} as const satisfies Record<string, Profile>

/** One scored file. */
export interface ScoredFile {
  /** One score a row; a row is a detection when its score is at least the threshold. */
  readonly scores: Float64Array
  /** First and last row of each window, inclusive, in order. */
  readonly windows: readonly (readonly [number, number])[]
}

export interface Outcome {
  readonly threshold: number
  /** Normalised, 100 at best. */
  readonly score: number
  readonly windowsFound: number
  /** Detections outside of all windows. */
  readonly falseAlarms: number
}

/** At a threshold fixed beforehand. */
export function scoreAt(files: readonly ScoredFile[], profile: Profile, threshold: number): Outcome {
  const sweep = new Sweep(files, profile)
  for (const row of detections(files, profile)) if (row.score >= threshold) sweep.add(row)
  return sweep.outcome(threshold)
}

/** At the threshold with the highest score, as NAB itself chooses it: one for all files, with the labels in view. */
export function scoreAtBest(files: readonly ScoredFile[], profile: Profile): Outcome {
  const rows = detections(files, profile).toSorted((a, b) => b.score - a.score)
  const sweep = new Sweep(files, profile)
  let best = sweep.outcome(Number.POSITIVE_INFINITY)
  for (const [i, row] of rows.entries()) {
    sweep.add(row)
    // Rows with equal scores are detections together.
    if (rows[i + 1]?.score === row.score) continue
    const outcome = sweep.outcome(row.score)
    if (outcome.score > best.score) best = outcome
  }
  return best
}

interface Row {
  readonly score: number
  readonly worth: number
  /** Which window of the corpus it lies in; −1 outside. */
  readonly window: number
}

/** Adds detections and keeps the sum. */
class Sweep {
  readonly #profile: Profile
  readonly #windows: number
  readonly #missable: number
  readonly #best = new Map<number, number>()
  #inside = 0
  #outside = 0
  #falseAlarms = 0

  constructor(files: readonly ScoredFile[], profile: Profile) {
    this.#profile = profile
    this.#windows = files.reduce((sum, { windows }) => sum + windows.length, 0)
    this.#missable = files.reduce(
      (sum, file) => sum + file.windows.filter(([, last]) => last >= probation(file)).length,
      0,
    )
  }

  add({ window, worth }: Row): void {
    if (window < 0) {
      this.#outside += worth
      this.#falseAlarms++
      return
    }
    const known = this.#best.get(window)
    if (known !== undefined && known >= worth) return
    this.#inside += worth - (known ?? 0)
    this.#best.set(window, worth)
  }

  outcome(threshold: number): Outcome {
    const { truePositive, falseNegative } = this.#profile
    const missed = this.#missable - this.#best.size
    const raw = this.#inside + this.#outside - falseNegative * missed
    const none = -falseNegative * this.#missable
    return {
      threshold,
      score: (100 * (raw - none)) / (truePositive * this.#windows - none),
      windowsFound: this.#best.size,
      falseAlarms: this.#falseAlarms,
    }
  }
}

/** Every row after probation that has a score at all, with what it would be worth. */
function detections(files: readonly ScoredFile[], profile: Profile): Row[] {
  const rows: Row[] = []
  let before = 0
  for (const file of files) {
    const { scores, windows } = file
    let next = 0
    for (let i = probation(file); i < scores.length; i++) {
      while (next < windows.length && windows[next]![1] < i) next++
      const score = scores[i]!
      if (!(score > 0)) continue
      const window = windows[next]
      const inside = window !== undefined && window[0] <= i
      rows.push({
        score,
        window: inside ? before + next : -1,
        worth: inside ? worthInside(i, window, profile) : worthOutside(i, windows[next - 1], profile),
      })
    }
    before += windows.length
  }
  return rows
}

function probation({ scores }: ScoredFile): number {
  return Math.min(Math.floor(0.15 * scores.length), 750)
}

function worthInside(row: number, [first, last]: readonly [number, number], { truePositive }: Profile): number {
  return (truePositive * sigmoid(-(last - row + 1) / (last - first + 1))) / sigmoid(-1)
}

function worthOutside(row: number, before: readonly [number, number] | undefined, { falsePositive }: Profile): number {
  if (before === undefined) return -falsePositive
  const [first, last] = before
  const y = (row - last) / (last - first)
  return falsePositive * (y > 3 ? -1 : sigmoid(y))
}

function sigmoid(y: number): number {
  return 2 / (1 + Math.exp(5 * y)) - 1
}
