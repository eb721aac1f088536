/**
 * A detector as data: which views of a reading it looks at, and which residual streams it draws from them.
 *
 * Adding a detector means writing another `DetectorSpec` (see lite.ts); the layout of a series' state and the work done for each
 * reading follow from it. `specHash` names spec and formulas together: stored state of another hash is not continued.
 */

/** R: the raw value. G: signed logarithm relative to the usual magnitude. A: asinh of the centred, scaled value. */
export const views = ['R', 'G', 'A'] as const
export type View = (typeof views)[number]

/** One stream of residuals, each ranked against its own past. */
export type StreamSpec =
  /** e(fast/slow): |short average now − long average before this reading|. Lengths in readings; fast 1 is the view itself. */
  | { readonly kind: 'average'; readonly view: View; readonly fast: number; readonly slow: number }
  /** |Δ|: |view now − view of the reading before|. */
  | { readonly kind: 'jump'; readonly view: View }

export interface DetectorSpec {
  /** Part of every anomaly's id; short, lower case. */
  readonly name: string
  readonly streams: readonly StreamSpec[]
}

/** What an alert calls its winning stream: `R e(1/100)`, `G |Δ|`. */
export function streamName(stream: StreamSpec): string {
  switch (stream.kind) {
    case 'average':
      return `${stream.view} e(${stream.fast}/${stream.slow})`
    case 'jump':
      return `${stream.view} |Δ|`
    default:
      return stream satisfies never
  }
}

/** Raised whenever a formula or constant of the scoring changes: old state must not be continued under new rules. */
const formulaVersion = 1

/** FNV-1a (32 bits) over name, streams and formula version. */
export function specHash(spec: DetectorSpec): number {
  let hash = 0x811c9dc5
  for (const char of [`${formulaVersion}`, spec.name, ...spec.streams.map(streamName)].join('\n')) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193)
  }
  return hash >>> 0
}
