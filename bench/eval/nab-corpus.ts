/** The files of the Numenta Anomaly Benchmark below a folder: `data/<category>/<name>.csv` and `labels/combined_windows.json`. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { parseTimeUs, readRecording } from '../../firmware-sim/src/signals/recording.ts'

export interface NabFile {
  /** `realKnownCause/nyc_taxi.csv` */
  readonly name: string
  /** As written in the file. */
  readonly timestamps: readonly string[]
  readonly tsUs: Float64Array
  readonly values: Float64Array
  /** First and last row of each labelled window, inclusive. */
  readonly windows: readonly (readonly [number, number])[]
}

/** Those of the labelled files that are there, by name. Throws `not-found` or `malformed`. */
export async function readNab(folder: string): Promise<NabFile[]> {
  const labels = readLabels(folder)
  const names = Object.keys(labels)
    .filter(name => existsSync(join(folder, 'data', name)))
    .toSorted()
  if (names.length === 0)
    throw new TributaryError('not-found', `${folder}/data holds none of the labelled files`, { hint: layout })
  return Promise.all(names.map(name => readFile(folder, name, labels[name]!)))
}

const layout = 'The folder is laid out as NAB: data/<category>/<name>.csv and labels/combined_windows.json.'

type Labels = Readonly<Record<string, readonly (readonly [string, string])[]>>

function readLabels(folder: string): Labels {
  const file = join(folder, 'labels', 'combined_windows.json')
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Labels
  } catch (cause) {
    throw new TributaryError('not-found', `cannot read ${file}: ${messageOf(cause)}`, { cause, hint: layout })
  }
}

async function readFile(folder: string, name: string, labels: Labels[string]): Promise<NabFile> {
  const path = join(folder, 'data', name)
  const tsUs: number[] = []
  const values: number[] = []
  for await (const row of readRecording(path)) {
    tsUs.push(row.tsUs)
    values.push(Number(row.values[0]?.value))
  }
  const timestamps = readFileSync(path, 'utf8').trim().split(/\r?\n/).slice(1)
  return {
    name,
    timestamps: timestamps.map(line => line.slice(0, line.indexOf(','))),
    tsUs: Float64Array.from(tsUs),
    values: Float64Array.from(values),
    windows: labels.map(([from, to]) => [rowOf(tsUs, from, name, 'first'), rowOf(tsUs, to, name, 'last')] as const),
  }
}

/** Where a time repeats, a window begins at its first row and ends at its last. */
function rowOf(tsUs: readonly number[], label: string, name: string, which: 'first' | 'last'): number {
  const at = parseTimeUs(label)
  const row = at === null ? -1 : which === 'first' ? tsUs.indexOf(at) : tsUs.lastIndexOf(at)
  if (row < 0) throw new TributaryError('malformed', `the window end ${label} is no row of ${name}`)
  return row
}
