/**
 * Bytes a reading on the wire: a batch of 1000 readings against gzipped JSON rows. Sizes are exact, so a run differs from another by
 * its seed (`fleet`) alone.
 *
 * `fleet`: 20 series of 50 readings, synthetic and seeded: 6 temperatures of a 12-bit converter, 3 humidities, 3 counters, 3
 * booleans, a GPS pair, 2 full-precision doubles, a power meter; every second ± 2 ms, each series on its own clock.
 * `machine`: the machine temperature of the Numenta Anomaly Benchmark in batches of 1000, one series, every 5 minutes. Ours includes
 * the whole body: names, header, counters, CRC.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Batch, noCounters, type SeriesColumns } from '@tributary/shared/batch/batch'
import { decodeBatch, encodeBatch } from '@tributary/shared/batch/codec'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { type Bench, type BenchContext, type BenchResult, type Comparison, compare, worstOf } from './bench.ts'
import { fleetColumns } from './load/fleet-columns.ts'
import { jsonRowsBytes } from './other/json-rows.ts'

const readings = 1000
const machineFile = fileURLToPath(
  new URL('../firmware-sim/data/machine_temperature_system_failure.csv', import.meta.url),
)

export const wire: Bench = {
  name: 'wire',
  summary: 'bytes a reading on the wire, against gzipped JSON rows',
  options: {
    machine: {
      type: 'string',
      value: 'FILE',
      default: machineFile,
      help: 'CSV of `timestamp,value` for the case `machine`',
    },
  },
  run,
}

async function run({ runs, values, progress }: BenchContext): Promise<BenchResult> {
  const machine = machineBatches(values.machine ?? machineFile)
  progress(`fleet: ${runs} seeds; machine: ${machine.length} batches`)
  return worstOf({
    fleet: compareSizes(Array.from({ length: runs }, (_, seed) => fleetColumns(seed + 1, readings / 20))),
    machine: compareSizes(machine.map(column => [column])),
  })
}

function compareSizes(batches: readonly (readonly SeriesColumns[])[]): Comparison {
  return compare({
    ours: batches.map(columns => bodyBytes(columns) / readings),
    other: batches.map(columns => jsonRowsBytes(columns) / readings),
    what: 'JSON rows, gzip 6',
    unit: 'B/reading',
    better: 'cost',
  })
}

function bodyBytes(columns: readonly SeriesColumns[]): number {
  const body = encodeBatch({ header, columns, aggregates: [] })
  const back = decodeBatch(body).columns
  const lossless = columns.every(({ tsUs, values }, s) =>
    values.every((value, i) => Object.is(value, back[s]?.values[i]) && tsUs[i] === back[s]?.tsUs[i]),
  )
  if (!lossless) throw new TributaryError('internal', 'a batch came back altered')
  return body.length
}

const header: Batch['header'] = {
  agentId: 'ag-abcdefghij2345klmnop',
  epoch: 123_456_789_012_345,
  seq: 1234,
  bootId: '3f2c1a00-1234-4abc-8def-0123456789ab',
  monotonicUs: 86_400_000_123,
  wallUs: 1_763_800_000_123_456,
  counters: { ...noCounters, accepted: 1_234_000, stored: 1_233_990, deadLettered: 10, maybeDuplicate: 2 },
  losses: [],
  recallsDone: [],
}

function machineBatches(file: string): SeriesColumns[] {
  const rows = readRows(file)
  const batches: SeriesColumns[] = []
  for (let start = 0; start + readings <= rows.length; start += readings) {
    const part = rows.slice(start, start + readings)
    batches.push({
      series: { device: 'machine-1', metric: 'temperature', unit: '[degF]' },
      tsUs: Float64Array.from(part, row => row.tsUs),
      values: Float64Array.from(part, row => row.value),
      quality: null,
    })
  }
  return batches
}

function readRows(file: string): { tsUs: number; value: number }[] {
  try {
    const lines = readFileSync(file, 'utf8').trim().split('\n').slice(1)
    return lines.map(line => {
      const [time, value] = line.split(',')
      return { tsUs: Date.parse(`${time?.replace(' ', 'T')}Z`) * 1000, value: Number(value) }
    })
  } catch (cause) {
    throw new TributaryError('not-found', `cannot read ${file}: ${messageOf(cause)}`, {
      cause,
      hint: 'name another with --machine FILE',
    })
  }
}
