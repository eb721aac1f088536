/**
 * What windows to keep: kinds, times, bounds and their defaults. All times are µs of event time, whole numbers.
 *
 *   tumbling  [start, start + size), start ≡ offset (mod size)
 *   hopping   [start, start + size), start ≡ offset (mod hop), hop ≤ size
 *   sliding   (t − duration, t], one ending at each reading: what `by slide` would mean is `hopping`
 *   session   readings at most `gap` apart; cut at times ≡ offset (mod maxLength), so that none is longer, whatever the order of arrival
 *   count     `n` readings, every `every` readings, in order of (time, arrival)
 *
 * The watermark of a series is its newest reading − `lateness`; nothing of another series moves it. A window closes, and is
 * emitted as revision 0, when the watermark reaches its end; readings that come later correct it, as higher revisions, until the
 * watermark is `keepFor` past its end. Count windows are never corrected: a late reading would renumber all that follow.
 */
import { TributaryError } from '../errors.ts'

const secondUs = 1_000_000
const hourUs = 3600 * secondUs

export type WindowKindSpec =
  | { readonly kind: 'tumbling'; readonly sizeUs: number; readonly offsetUs?: number }
  | { readonly kind: 'hopping'; readonly sizeUs: number; readonly hopUs: number; readonly offsetUs?: number }
  | { readonly kind: 'sliding'; readonly durationUs: number }
  | { readonly kind: 'session'; readonly gapUs: number; readonly maxLengthUs?: number; readonly offsetUs?: number }
  | { readonly kind: 'count'; readonly n: number; readonly every?: number }

export interface WindowOptions {
  /** How far a reading may lie behind its series' newest and still be on time. */
  readonly latenessUs?: number
  /** How long after a window's end, by the watermark, late readings still correct it. */
  readonly keepForUs?: number
  /** A series without readings for this long, by the clock given to `idle`, has its watermark moved by that clock. */
  readonly idleAfterUs?: number
  /** Occupied buckets of a window's quantile sketch; 0: no quantiles. */
  readonly sketchBuckets?: number
  /** Windows (panes, sessions) of one series that may be in memory: a spec that could need more is refused. */
  readonly maxWindows?: number
  /** Readings of one series that may be in memory, sliding and count: beyond it the oldest go first. */
  readonly maxReadings?: number
  /** Series; one more is refused. */
  readonly maxSeries?: number
  /**
   * Bytes of state in use: from here on a reading that needs more (a new pane or session, longer columns of readings) is handed back. Open
   * windows go on, so that their sketches and BigInts may exceed it, each by its own bound.
   */
  readonly maxBytes?: number
}

export type WindowSpec = WindowKindSpec & WindowOptions

export const windowDefaults = {
  latenessUs: 5 * secondUs,
  keepForUs: hourUs,
  idleAfterUs: 60 * secondUs,
  sketchBuckets: 512,
  maxWindows: 4096,
  maxReadings: 4096,
  maxSeries: 100_000,
  maxBytes: 1 << 30,
} as const satisfies Required<WindowOptions>

const maxLengthDefaultUs = 24 * hourUs
/** A rolling sketch has a bucket for each reading, and no more buckets than this. */
const largestSketch = 65_536

export type ResolvedSpec = WindowKindSpec & Required<WindowOptions>

/** Fill in the defaults and check everything once. Throws `config` for what cannot be kept. */
export function resolveSpec(given: WindowSpec): ResolvedSpec {
  const spec: ResolvedSpec = { ...windowDefaults, ...given }
  for (const name of ['latenessUs', 'keepForUs', 'idleAfterUs'] as const) requireWhole(spec[name], name, 0)
  for (const name of ['maxWindows', 'maxReadings', 'maxSeries', 'maxBytes'] as const) requireWhole(spec[name], name, 1)
  if (spec.maxReadings > largestSketch)
    throw refused(`maxReadings is ${spec.maxReadings}, at most ${largestSketch} are possible`)
  const needed = windowsNeeded(spec)
  if (needed > spec.maxWindows) {
    throw refused(
      `${spec.kind} windows may need ${needed} windows of a series in memory, maxWindows is ${spec.maxWindows}`,
    )
  }
  return spec
}

/** Tumbling windows are hopping ones whose hop is their size. */
export function hopOf(spec: ResolvedSpec & { kind: 'tumbling' | 'hopping' }): number {
  return spec.kind === 'tumbling' ? spec.sizeUs : spec.hopUs
}

/** Panes: the longest pieces that make up every window and share no reading. */
export function paneOf(spec: ResolvedSpec & { kind: 'tumbling' | 'hopping' }): number {
  let [a, b] = [spec.sizeUs, hopOf(spec)]
  while (b > 0) [a, b] = [b, a % b]
  return a
}

export function maxLengthOf(spec: ResolvedSpec & { kind: 'session' }): number {
  return spec.maxLengthUs ?? maxLengthDefaultUs
}

/** FNV-1a over what decides the contents of a record: state is continued by the same windows alone. */
export function windowHash(spec: ResolvedSpec): number {
  const { maxWindows: _, maxReadings: __, maxSeries: ___, maxBytes: ____, ...decisive } = spec
  let hash = 0x811c9dc5
  for (const char of JSON.stringify(Object.entries(decisive).sort())) {
    hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
  }
  return hash >>> 0
}

/** The most windows of one series that can be in memory at once; checks the kind's own numbers. */
function windowsNeeded(spec: ResolvedSpec): number {
  switch (spec.kind) {
    case 'tumbling':
    case 'hopping': {
      requireWhole(spec.sizeUs, 'sizeUs', 1)
      requireWhole(hopOf(spec), 'hopUs', 1)
      requireWhole(spec.offsetUs ?? 0, 'offsetUs', Number.MIN_SAFE_INTEGER)
      if (hopOf(spec) > spec.sizeUs)
        throw refused('hopUs is longer than sizeUs: readings between the windows would be in none')
      return Math.ceil((spec.latenessUs + spec.keepForUs + spec.sizeUs) / paneOf(spec)) + 1
    }
    case 'session':
      requireWhole(spec.gapUs, 'gapUs', 1)
      requireWhole(maxLengthOf(spec), 'maxLengthUs', spec.gapUs)
      requireWhole(spec.offsetUs ?? 0, 'offsetUs', Number.MIN_SAFE_INTEGER)
      return sessionsNeeded(spec.latenessUs + spec.keepForUs + spec.gapUs, spec.gapUs, maxLengthOf(spec))
    case 'sliding':
      requireWhole(spec.durationUs, 'durationUs', 1)
      return 0
    case 'count':
      requireWhole(spec.n, 'n', 1)
      requireWhole(spec.every ?? spec.n, 'every', 1)
      if (spec.n >= spec.maxReadings)
        throw refused(`n is ${spec.n}, which must be below maxReadings, ${spec.maxReadings}`)
      return 0
    default:
      return spec satisfies never
  }
}

/** Sessions last touched within `spanUs`: more than a gap apart, or on two sides of a cut. */
function sessionsNeeded(spanUs: number, gapUs: number, maxLengthUs: number): number {
  return Math.ceil(spanUs / gapUs) + Math.ceil(spanUs / maxLengthUs) + 2
}

function requireWhole(value: number, name: string, least: number): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw refused(`${name} is ${value}, not a whole number of at least ${least}`)
}

function refused(what: string): TributaryError {
  return new TributaryError('config', `windows: ${what}`, {
    hint: 'change the window, its lateness or keepFor, or the bound',
  })
}
