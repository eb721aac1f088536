/**
 * Run by disk-failure.system.test.ts: accepts numbered readings one after another and writes what became of each into a log, until it
 * is killed. Arguments: folder, log.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openBuffer } from './sqlite-buffer.ts'

const [folder = '', logPath = ''] = process.argv.slice(2)
const log = openSync(logPath, 'a')
const buffer = await openBuffer({ folder, failAfterMs: 300, ballastBytes: 0, agentId: () => 'ag-disk' })
buffer.onWritable(writable => writeSync(log, `writable ${writable}\n`))
const series = { device: 'd', metric: 'm', unit: '' }
for (let number = 0; ; number++) {
  const readings = [{ series, tsUs: number, value: 'x'.repeat(2000), quality: 0 as const }]
  const error = await new Promise<{ code: string } | null>(resolve =>
    buffer.accept({ readings, deadLetter: null, receipt: null, maybeDuplicate: false }, resolve),
  )
  writeSync(log, error ? `refused ${error.code}\n` : `stored ${number}\n`)
  if (error) await sleep(20)
}
