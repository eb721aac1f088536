/**
 * Reading a record back, line by line. A torn last line, as a SIGKILL leaves it, is no line.
 */
import { createReadStream } from 'node:fs'
import type { RecordLine } from './record.ts'

export async function* readRecord(path: string): AsyncGenerator<RecordLine> {
  let rest = ''
  for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const line of lines) yield JSON.parse(line) as RecordLine
  }
}

/** The acknowledged readings as a multiset: `series ts bits` → how often. */
export async function acknowledgedReadings(path: string): Promise<Map<string, number>> {
  const readings = new Map<string, number>()
  for await (const { event, series, ts, bits } of readRecord(path)) {
    if (event !== 'acked' || series === null) continue
    const key = `${series} ${ts} ${bits}`
    readings.set(key, (readings.get(key) ?? 0) + 1)
  }
  return readings
}
