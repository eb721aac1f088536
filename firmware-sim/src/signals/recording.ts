/**
 * A recording: a CSV file of readings, read line by line so that memory does not depend on its length.
 *
 * The first line names the columns: a time column (`timestamp`, `datetime` or `time`), then one column a metric, separated by
 * commas or semicolons (quoted cells are not supported). A time is `YYYY-MM-DD HH:MM:SS[.f]` (taken as UTC), ISO 8601 with a
 * zone, or a number in s, ms, µs or ns (read from its magnitude). A cell is a number, `true`, `false`, or empty (no reading).
 * Anything else is an error that names the file and the line.
 */
import { createReadStream } from 'node:fs'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { SensorValue } from './emission.ts'

export interface RecordedRow {
  readonly tsUs: number
  readonly values: readonly { readonly metric: string; readonly value: SensorValue }[]
  /** The file's value columns, whether or not this row fills them. */
  readonly columns: number
}

/** A longer line is no line of a recording; it bounds the memory that a file without line ends can take. */
const maxLineLength = 65_536

const timeColumns = ['timestamp', 'datetime', 'time']
const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/** Every row of the file, in its order. Throws `malformed` at a bad row, `not-found` or `storage` when it cannot be read. */
export async function* readRecording(path: string): AsyncGenerator<RecordedRow> {
  let columns: Columns | null = null
  let line = 0
  for await (const text of readLines(path)) {
    line++
    if (columns === null) columns = parseHeader(text.replace(/^\uFEFF/, ''), path)
    else if (text.trim() !== '') yield parseRow(text, columns, path, line)
  }
  if (columns === null) throw malformed(path, 1, 'the file is empty')
}

async function* readLines(path: string): AsyncGenerator<string> {
  let rest = ''
  let line = 0
  for await (const chunk of readChunks(path)) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const text of lines) yield text
    line += lines.length
    if (rest.length > maxLineLength)
      throw malformed(path, line + 1, `the line is longer than ${maxLineLength} characters`)
  }
  if (rest !== '') yield rest
}

async function* readChunks(path: string): AsyncGenerator<string> {
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8' })) yield chunk as string
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    throw new TributaryError(missing ? 'not-found' : 'storage', `cannot read ${path}: ${messageOf(cause)}`, { cause })
  }
}

/** The last time in the file, which need not be sorted; null when it holds no rows. Reads it once from end to end. */
export async function lastTimeUs(path: string): Promise<number | null> {
  let last: number | null = null
  for await (const row of readRecording(path)) last = last === null ? row.tsUs : Math.max(last, row.tsUs)
  return last
}

/** Microseconds since 1970, or null when the text is no time. */
export function parseTimeUs(text: string): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) return fromMagnitude(Number(text))
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?$/.exec(text)
  if (match === null) return null
  const [, date, time, fraction = '', zone = 'Z'] = match
  const ms = Date.parse(`${date}T${time!.length === 5 ? `${time}:00` : time}${zone.replace(/^(...)(\d\d)$/, '$1:$2')}`)
  // Date.parse moves 31 February into March; a recording with such a date is damaged.
  if (Number.isNaN(ms) || (zone === 'Z' && !new Date(ms).toISOString().startsWith(date!))) return null
  return ms * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

function fromMagnitude(value: number): number {
  if (value < 1e11) return Math.round(value * 1e6)
  if (value < 1e14) return Math.round(value * 1e3)
  return Math.round(value < 1e17 ? value : value / 1e3)
}

interface Columns {
  readonly separator: ',' | ';'
  readonly metrics: readonly string[]
}

function parseHeader(text: string, path: string): Columns {
  const separator = text.includes(';') ? ';' : ','
  const [time, ...metrics] = text.split(separator).map(name => name.trim())
  if (!timeColumns.includes(time!.toLowerCase()) || metrics.length === 0)
    throw malformed(path, 1, `the header must be timestamp,value or timestamp,name,name…, not "${excerpt(text)}"`)
  const twice = metrics.find((name, i) => metrics.indexOf(name) < i)
  if (twice !== undefined) throw malformed(path, 1, `the column "${twice}" appears twice`)
  if (metrics.includes('')) throw malformed(path, 1, 'a column has no name')
  return { separator, metrics }
}

function parseRow(text: string, { separator, metrics }: Columns, path: string, line: number): RecordedRow {
  const cells = text.split(separator).map(cell => cell.trim())
  if (cells.length !== metrics.length + 1)
    throw malformed(path, line, `${cells.length} cells where the header has ${metrics.length + 1} columns`)
  const tsUs = parseTimeUs(cells[0]!)
  if (tsUs === null) throw malformed(path, line, `"${excerpt(cells[0]!)}" is not a time`)
  const values: { metric: string; value: SensorValue }[] = []
  for (const [i, metric] of metrics.entries()) {
    const cell = cells[i + 1]!
    if (cell === '') continue
    if (cell === 'true' || cell === 'false') values.push({ metric, value: cell === 'true' })
    else if (number.test(cell)) values.push({ metric, value: Number(cell) })
    else throw malformed(path, line, `"${excerpt(cell)}" in column ${metric} is not a number`)
  }
  return { tsUs, values, columns: metrics.length }
}

function malformed(path: string, line: number, what: string): TributaryError {
  return new TributaryError('malformed', `${path}:${line}: ${what}`, {
    hint: 'Times look like 2013-12-02 21:15:00 (UTC); values are numbers, true, false or nothing.',
  })
}

function excerpt(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
