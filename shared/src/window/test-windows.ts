/**
 * Windows computed naively: all readings sorted, each window from all its readings. And a recorder of what the engine emits.
 */
import { type Finished, finish } from './aggregate.ts'
import { encodeAggregate } from './aggregate-codec.ts'
import { finishByOracle, inOrder, type TestReading } from './test-oracle.ts'
import type { WindowKindSpec } from './window-spec.ts'
import type { Emission } from './windows.ts'

export interface TestWindow {
  readonly id: string
  readonly startUs: number
  readonly endUs: number
  readonly numbers: Finished
}

export interface TestEmission extends TestWindow {
  readonly series: number
  readonly revision: number
  readonly retracted: boolean
  readonly truncated: boolean
  readonly bytes: string
}

/** Copies what is emitted, with the id that the kind gives it. */
export function recorder(kind: WindowKindSpec['kind']): {
  emissions: TestEmission[]
  emit: (window: Emission) => void
} {
  const emissions: TestEmission[] = []
  const emit = ({ aggregates, slot, ordinal, ...window }: Emission): void => {
    const id = `${window.series}/${idOf(kind, window.startUs, window.endUs, ordinal)}`
    const numbers = finish(aggregates, slot)
    const bytes = window.retracted ? '' : Buffer.from(encodeAggregate(aggregates, slot)).toString('hex')
    emissions.push({ id, ...window, numbers, bytes })
  }
  return { emissions, emit }
}

/** What holds in the end: of each id the highest revision, unless it is a retraction. Fails when one revision has two contents. */
export function standing(emissions: readonly TestEmission[]): Map<string, TestEmission> {
  const highest = new Map<string, TestEmission>()
  const contents = new Map<string, string>()
  for (const emission of emissions) {
    const version = `${emission.id}#${emission.revision}`
    if (contents.has(version) && contents.get(version) !== emission.bytes)
      throw new Error(`${version} has two contents`)
    contents.set(version, emission.bytes)
    if (emission.revision >= (highest.get(emission.id)?.revision ?? 0)) highest.set(emission.id, emission)
  }
  return new Map([...highest].filter(([, { retracted }]) => !retracted))
}

/** Every window of one series (number 0) that holds a reading. */
export function windowsByOracle(spec: WindowKindSpec, readings: readonly TestReading[]): TestWindow[] {
  const sorted = inOrder(readings)
  switch (spec.kind) {
    case 'tumbling':
      return aligned(sorted, spec.sizeUs, spec.sizeUs, spec.offsetUs ?? 0)
    case 'hopping':
      return aligned(sorted, spec.sizeUs, spec.hopUs, spec.offsetUs ?? 0)
    case 'sliding':
      return sorted.map((last, i) => {
        const held = sorted.filter((reading, j) => j <= i && reading.tsUs > last.tsUs - spec.durationUs)
        return windowOf(spec.kind, held, last.order)
      })
    case 'session':
      return sessions(sorted, spec.gapUs, spec.maxLengthUs ?? 86_400_000_000, spec.offsetUs ?? 0).map(held =>
        windowOf(spec.kind, held, 0),
      )
    case 'count': {
      const every = spec.every ?? spec.n
      const ends = sorted.map((_, i) => i + 1).filter(end => end >= spec.n && (end - spec.n) % every === 0)
      return ends.map((end, ordinal) => windowOf(spec.kind, sorted.slice(end - spec.n, end), ordinal))
    }
  }
}

function aligned(sorted: readonly TestReading[], sizeUs: number, hopUs: number, offsetUs: number): TestWindow[] {
  const starts = new Set<number>()
  for (const { tsUs } of sorted) {
    let start = offsetUs + Math.floor((tsUs - offsetUs) / hopUs) * hopUs
    for (; start > tsUs - sizeUs; start -= hopUs) starts.add(start)
  }
  return [...starts].map(startUs => {
    const endUs = startUs + sizeUs
    const held = sorted.filter(({ tsUs }) => tsUs >= startUs && tsUs < endUs)
    return { id: `0/${startUs}`, startUs, endUs, numbers: finishByOracle(held) }
  })
}

function sessions(sorted: readonly TestReading[], gapUs: number, lengthUs: number, offsetUs: number): TestReading[][] {
  const cell = ({ tsUs }: TestReading): number => Math.floor((tsUs - offsetUs) / lengthUs)
  const found: TestReading[][] = []
  for (const reading of sorted) {
    const last = found.at(-1)?.at(-1)
    if (last !== undefined && reading.tsUs - last.tsUs <= gapUs && cell(last) === cell(reading))
      found.at(-1)!.push(reading)
    else found.push([reading])
  }
  return found
}

function windowOf(kind: WindowKindSpec['kind'], held: readonly TestReading[], ordinal: number): TestWindow {
  const [startUs, endUs] = [held[0]!.tsUs, held.at(-1)!.tsUs]
  return { id: `0/${idOf(kind, startUs, endUs, ordinal)}`, startUs, endUs, numbers: finishByOracle(held) }
}

function idOf(kind: WindowKindSpec['kind'], startUs: number, endUs: number, ordinal: number): string {
  switch (kind) {
    case 'sliding':
      return `${endUs}/${ordinal}`
    case 'count':
      return `${ordinal}`
    default:
      return `${startUs}`
  }
}
