/**
 * The surprise of a residual: how rare it is to see one at least about this large, judged by the stream's own past alone.
 *
 * The past is a histogram of log2(residual): 96 bins, 8 an octave, 12 octaves, with a half-life of 8,000 readings. A residual e has
 * the position p = 8·(log2 e − origin) + 57.6, where the origin is log2 of the stream's first residual above 0. Let c be the number of
 * past residuals of at least 0.9·e, with a linear edge one similarity step wide, and N the decayed total. Then
 *   surprise = log10(√(N + 1) / (c + 0.5)),
 * plus ten decades a decade by which e exceeds the highest occupied bin, and never below 0. √N in place of N: a young series must
 * be able to speak, and an old one must not alarm ever more easily.
 *
 * Decay is lazy: a new count weighs 2^(1/8000) times its predecessor, and readers divide by the newest weight. `gate` is the bin
 * above which 5 % of the mass lies, refreshed every 32 residuals: a residual whose similar ones all begin below it scores 0 at
 * once. It could not have reached 0.6; 95 % take this path.
 *
 * One stream's state is `surpriseScalars` doubles and `bins` floats inside the shard's slabs.
 */

export const bins = 96
const binsPerOctave = 8
/** Where the first residual lands: 60 % of the way up leaves room for both smaller and larger ones. */
const firstPosition = 57.6
/** −8·log2(0.9): residuals of at least 0.9 of this one count as similar. */
const similarity = 1.216
const weightGrowth = 2 ** (1 / 8000)
const maxWeight = 1e6
/** Residuals seen before anything is scored: the hard warm-up. */
export const hardWarmUp = 50
const gateEvery = 32
const gateShare = 0.05
/** Counts below this do not make a bin occupied. */
const occupied = 0.25
const exceedanceSlope = 10
const log10Of2 = 0.301
/** Bins kept free above a residual that outgrew the histogram. */
const headroom = 8

/** Offsets of a stream's doubles. */
const ORIGIN = 0
const WEIGHT = 1
const TOTAL = 2
const GATE = 3
const SEEN = 4
export const surpriseScalars = 5

/** State before the first residual; the histogram must be zero. */
export function resetSurprise(scalars: Float64Array, at: number): void {
  scalars[at + ORIGIN] = Number.NaN
  scalars[at + WEIGHT] = 1
  scalars[at + TOTAL] = 0
  scalars[at + GATE] = -1
  scalars[at + SEEN] = 0
}

/** Position of a residual in the histogram, in bins; −∞ for 0. Sets the origin at the first residual above 0. */
export function positionOf(residual: number, scalars: Float64Array, at: number): number {
  if (residual === 0) return Number.NEGATIVE_INFINITY
  const log2 = Math.log2(residual)
  if (Number.isNaN(scalars[at + ORIGIN]!)) scalars[at + ORIGIN] = log2
  return binsPerOctave * (log2 - scalars[at + ORIGIN]!) + firstPosition
}

/** The surprise of a residual at this position; `counts[index]` receives c, the similar or larger ones seen before. */
export function surpriseAt(
  position: number,
  scalars: Float64Array,
  at: number,
  histograms: Float32Array,
  base: number,
  counts: Float64Array,
  index: number,
): number {
  const from = position - similarity
  if (scalars[at + SEEN]! < hardWarmUp || !(from >= scalars[at + GATE]!) || position === Number.NEGATIVE_INFINITY)
    return 0
  const weight = scalars[at + WEIGHT]!
  let similar = 0
  for (let bin = Math.max(0, Math.floor(from - 0.5) + 1); bin < bins; bin++) {
    similar += histograms[base + bin]! * Math.min(1, (bin + 0.5 - from) / similarity)
  }
  similar /= weight
  counts[index] = similar
  const surprise = Math.log10(Math.sqrt(scalars[at + TOTAL]! / weight + 1) / (similar + 0.5))
  const excess = position - topBin(histograms, base, occupied * weight) - 1
  const beyond = excess > 0 ? ((exceedanceSlope * excess) / binsPerOctave) * log10Of2 : 0
  return Math.max(0, surprise + beyond)
}

/** Count the residual at this position. */
export function learn(
  position: number,
  scalars: Float64Array,
  at: number,
  histograms: Float32Array,
  base: number,
): void {
  const weight = scalars[at + WEIGHT]! * weightGrowth
  let bin = position < 0 ? 0 : Math.floor(position)
  let moved = false
  if (bin >= bins) {
    const shift = bin - bins + 1 + headroom
    shiftDown(histograms, base, shift)
    scalars[at + ORIGIN] = scalars[at + ORIGIN]! + shift / binsPerOctave
    bin -= shift
    moved = true
  }
  histograms[base + bin] = histograms[base + bin]! + weight
  scalars[at + WEIGHT] = weight
  scalars[at + TOTAL] = scalars[at + TOTAL]! + weight
  if (weight > maxWeight) renormalise(scalars, at, histograms, base)
  const seen = scalars[at + SEEN]! + 1
  scalars[at + SEEN] = seen
  if (moved || seen % gateEvery === 0) scalars[at + GATE] = gateOf(histograms, base, gateShare * scalars[at + TOTAL]!)
}

/** The highest bin that holds at least `atLeast`, or −1. */
function topBin(histograms: Float32Array, base: number, atLeast: number): number {
  for (let bin = bins - 1; bin >= 0; bin--) if (histograms[base + bin]! >= atLeast) return bin
  return -1
}

/** The highest bin with at least `mass` strictly above it, or −1. */
function gateOf(histograms: Float32Array, base: number, mass: number): number {
  let above = 0
  for (let bin = bins - 1; bin > 0; bin--) {
    above += histograms[base + bin]!
    if (above >= mass) return bin - 1
  }
  return -1
}

/** Move every bin down; what falls off the lower end is kept in bin 0. */
function shiftDown(histograms: Float32Array, base: number, shift: number): void {
  let lump = 0
  for (let bin = 0; bin <= Math.min(shift, bins - 1); bin++) lump += histograms[base + bin]!
  for (let bin = 1; bin < bins; bin++) histograms[base + bin] = bin + shift < bins ? histograms[base + bin + shift]! : 0
  histograms[base] = lump
}

function renormalise(scalars: Float64Array, at: number, histograms: Float32Array, base: number): void {
  const weight = scalars[at + WEIGHT]!
  for (let bin = 0; bin < bins; bin++) histograms[base + bin] = histograms[base + bin]! / weight
  scalars[at + TOTAL] = scalars[at + TOTAL]! / weight
  scalars[at + WEIGHT] = 1
}
