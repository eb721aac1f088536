/**
 * Every reading that can be read in a buffer's folder, sent or not, in the order of arrival: without writing into it (file-copy.ts), out of
 * damaged files and out of quarantine too. A row that stands in several files, because it was saved out of a damaged one, is told once.
 * Readings stand where their boot stands in time, as far as the last file knows; else they have the clock of their boot alone.
 */
import { type Quality, qualityNames, type Value } from '@tributary/shared/reading'
import { BootTimes, type BootTimesState } from '../time/boot-times.ts'
import type { SeriesClass } from './counters.ts'
import { copyFile, type FoundFile, findFiles, removeCopy } from './file-copy.ts'
import { place } from './place.ts'
import { classOf, decodeRow, Kind, Mark, type RowColumns } from './row-codec.ts'
import { type Salvaged, salvage } from './salvage.ts'
import { rowCrc } from './stored-records.ts'

export interface ExportedReading {
  readonly row: number
  /** µs since 1970 UTC; null while the place of its boot in time is not known. */
  readonly tsUs: number | null
  /** Then the boot and its clock, µs. */
  readonly boot: string | null
  readonly bootUs: number | null
  readonly device: string
  readonly metric: string
  readonly unit: string
  readonly value: Value
  readonly quality: (typeof qualityNames)[number]
  readonly class: SeriesClass
}

/** `temporary` is a folder of the caller's, for one copy at a time; `onFile` is told before each file. */
export function* exportFolder(
  folder: string,
  temporary: string,
  onFile: (path: string) => void,
): Generator<ExportedReading> {
  const files = findFiles(folder)
  const times = timesOf(files, temporary)
  const told = new Set<string>()
  for (const found of files) {
    onFile(found.path)
    for (const row of salvageCopy(found, temporary)?.rows ?? []) {
      const key = `${row.n}/${rowCrc(row)}`
      if (told.has(key)) continue
      if (found.kind === 'quarantined') told.add(key)
      yield* readingsOf(row.n, decodeRow(row.data).columns, times)
    }
  }
}

/** Of the newest file that knows. */
function timesOf(files: readonly FoundFile[], temporary: string): BootTimes {
  for (const found of [...files].reverse()) {
    const times = salvageCopy(found, temporary)?.states.get('times')
    if (times) return new BootTimes(times as BootTimesState, '')
  }
  return new BootTimes(null, '')
}

function salvageCopy({ path }: FoundFile, temporary: string): Salvaged | null {
  const copy = copyFile(path, temporary)
  if (copy === null) return null
  try {
    return salvage(copy)
  } finally {
    removeCopy(copy)
  }
}

function* readingsOf(row: number, columns: RowColumns, times: BootTimes): Generator<ExportedReading> {
  const { readings, names, series, strings, boot, ...given } = columns
  const { tsUs, tags, values } = place(times, columns) ?? columns
  const isPlaced = boot === '' || times.placementOf(boot) !== null
  for (let index = 0; index < readings; index++) {
    const mark = given.marks[index] as number
    const unplaced = !isPlaced && (mark & Mark.unplaced) !== 0
    const tag = tags[index] as number
    const value = values[index] as number
    const kind = tag >> 2
    const at = (series[index] as number) * 3
    yield {
      row,
      tsUs: unplaced ? null : (tsUs[index] as number),
      boot: unplaced ? boot : null,
      bootUs: unplaced ? (tsUs[index] as number) : null,
      device: names[at] as string,
      metric: names[at + 1] as string,
      unit: names[at + 2] as string,
      value: kind === Kind.boolean ? value === 1 : kind === Kind.string ? (strings[value] as string) : value,
      quality: qualityNames[(tag & 3) as Quality] ?? 'bad',
      class: classOf(mark),
    }
  }
}
