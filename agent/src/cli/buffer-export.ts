/** `buffer export`: the readings of a buffer's folder as lines, also of a running agent, a damaged file or a card. Nothing is written into it. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { type Command, type CommandContext, UsageError } from '@tributary/shared/cli'
import { csvLine } from '@tributary/shared/csv'
import { TributaryError } from '@tributary/shared/errors'
import { matchesGlob } from '../aggregate/glob.ts'
import { type ExportedReading, exportFolder } from '../buffer/export-folder.ts'
import { bufferFolder, withTemporary } from './buffer-folder.ts'
import { configOption, textValue } from './config-option.ts'

const formats = ['ndjson', 'csv'] as const
type Format = (typeof formats)[number]

/** Text collected before it is written. */
const chunkLength = 64 * 1024
const columns = ['ts', 'device', 'metric', 'unit', 'value', 'quality', 'class', 'row', 'boot', 'bootUs'] as const

interface Filter {
  readonly fromUs: number
  readonly toUs: number
  readonly device: string | null
  readonly metric: string | null
}

export const bufferExport: Command = {
  name: 'buffer export',
  summary: 'write every reading that can be read in the buffer as NDJSON or CSV, sent or not, quarantined files too',
  positionals: '[DIR]',
  options: {
    ...configOption,
    format: { type: 'string', value: 'NAME', default: 'ndjson', help: `${formats.join(' or ')}` },
    out: { type: 'string', short: 'o', value: 'FILE', help: 'a file that is not there yet (default stdout)' },
    from: { type: 'string', value: 'TIME', help: 'not before this time, ISO 8601 with a zone or ms since 1970' },
    to: { type: 'string', value: 'TIME', help: 'before this time' },
    device: { type: 'string', value: 'PATTERN', help: 'of these devices; * stands for any characters, ? for one' },
    metric: { type: 'string', value: 'PATTERN', help: 'of these metrics' },
  },
  examples: [
    'tributary-agent buffer export > readings.ndjson',
    "tributary-agent buffer export --format csv --out press.csv --device 'press-*' --from 2026-01-01T00:00:00Z",
    'tributary-agent buffer export /mnt/card/var/lib/tributary-agent --out card.ndjson',
  ],
  async run(context) {
    const format = formatOf(context)
    const filter = filterOf(context)
    const out = textValue(context.values, 'out')
    if (context.wantsJson && out === null) {
      throw new UsageError('unprocessable', '--json prints a summary: name a file for the readings with --out')
    }
    const folder = await bufferFolder(context)
    if (out !== null && `${resolve(out)}/`.startsWith(`${folder}/`)) {
      throw new UsageError('unprocessable', `--out: ${out} is in the buffer itself`, { hint: 'Name a file elsewhere.' })
    }
    const written = await withTemporary(temporary => {
      const note = (path: string) => context.note(`reading ${basename(path)}`)
      const found = exportFolder(folder, temporary, note)
      return out === null
        ? writeLines(found, format, filter, text => context.out(text.trimEnd()), context.signal)
        : toFile(out, write => writeLines(found, format, filter, write, context.signal))
    })
    context.json({ folder, file: out, ...written })
    context.note(`${written.readings} readings of ${written.read}`)
    return 0
  },
}

interface Written {
  /** That passed the filter. */
  readonly readings: number
  readonly read: number
}

async function writeLines(
  found: Iterable<ExportedReading>,
  format: Format,
  filter: Filter,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<Written> {
  let chunk = format === 'csv' ? csvLine(columns) : ''
  let readings = 0
  let read = 0
  const flush = () => {
    if (chunk !== '') write(chunk)
    chunk = ''
  }
  for (const reading of found) {
    read++
    if (!passes(filter, reading)) continue
    readings++
    chunk +=
      format === 'csv' ? csvLine(columns.map(name => plain(reading)[name])) : `${JSON.stringify(plain(reading))}\n`
    if (chunk.length < chunkLength) continue
    flush()
    await new Promise(setImmediate)
    if (signal.aborted) throw new TributaryError('aborted', `stopped after ${readings} readings`)
  }
  flush()
  return { readings, read }
}

async function toFile(path: string, use: (write: (text: string) => void) => Promise<Written>): Promise<Written> {
  const fd = openNew(path)
  try {
    return await use(text => void writeSync(fd, text))
  } finally {
    closeSync(fd)
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why = code === 'EEXIST' ? 'is there already' : `cannot be written (${code})`
    throw new TributaryError('storage', `${path} ${why}`, { cause, hint: 'Name another file with --out.' })
  }
}

/** JSON has no NaN and no infinity: they are told as text. */
function plain({ tsUs, value, ...reading }: ExportedReading) {
  const shown = typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
  return { ts: tsUs === null ? null : isoUs(tsUs), ...reading, value: shown }
}

/** ISO 8601 with microseconds. */
function isoUs(tsUs: number): string {
  const ms = Math.floor(tsUs / 1000)
  return new Date(ms).toISOString().replace('Z', `${String(tsUs - ms * 1000).padStart(3, '0')}Z`)
}

/** A reading without a place in time passes only when no time is asked for. */
function passes({ fromUs, toUs, device, metric }: Filter, reading: ExportedReading): boolean {
  const { tsUs } = reading
  const inTime = tsUs === null ? fromUs === -Infinity && toUs === Infinity : tsUs >= fromUs && tsUs < toUs
  if (!inTime) return false
  return (
    (device === null || matchesGlob(device, reading.device)) && (metric === null || matchesGlob(metric, reading.metric))
  )
}

function formatOf({ values }: CommandContext): Format {
  const format = formats.find(name => name === values.format)
  if (format === undefined)
    throw new UsageError('unprocessable', `--format: ${values.format} is not ${formats.join(' or ')}`)
  return format
}

function filterOf({ values }: CommandContext): Filter {
  return {
    fromUs: instantUs('from', textValue(values, 'from')) ?? -Infinity,
    toUs: instantUs('to', textValue(values, 'to')) ?? Infinity,
    device: textValue(values, 'device'),
    metric: textValue(values, 'metric'),
  }
}

function instantUs(option: string, text: string | null): number | null {
  if (text === null) return null
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d))?$/
  const ms = /^-?\d{1,15}$/.test(text) ? Number(text) : iso.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isFinite(ms)) return ms * 1000
  throw new UsageError('unprocessable', `--${option}: ${text} is neither ISO 8601 with a zone nor ms since 1970`, {
    hint: 'Such as 2026-01-01T00:00:00Z',
  })
}
