/**
 * Run by crash.test.ts: accepts numbered readings without pause and writes the number of each acknowledged one into a log, until it is
 * killed. Arguments: folder, first number, `worker` or `in-process`, log, and `fold` to have all of them folded.
 */
import { openSync, writeSync } from 'node:fs'
import { crashPolicy } from './crash-policy.ts'
import { openBuffer } from './sqlite-buffer.ts'

const [folder = '', first = '0', where = 'worker', logPath = '', policy = ''] = process.argv.slice(2)
const log = openSync(logPath, 'a')
const buffer = await openBuffer({
  folder,
  worker: where === 'worker',
  maxBytes: 64 * 1024 * 1024,
  fileBytes: 128 * 1024,
  ballastBytes: 0,
  agentId: () => 'ag-crash',
  policies: policy === 'fold' ? [crashPolicy] : [],
})
let next = Number(first)
const inFlight = 200

function send(): void {
  const number = next++
  const series = { device: `d${number % 50}`, metric: 'n', unit: '' }
  const receipt = { scope: `mqtt1:c${number % 50}`, id: number, digest: number.toString(16).padStart(16, '0') }
  const message = {
    readings: [{ series, tsUs: number, value: number, quality: 0 as const }],
    deadLetter: null,
    receipt,
    maybeDuplicate: false,
  }
  buffer.accept(message, error => {
    if (error) process.exit(1)
    writeSync(log, `a ${number}\n`)
    setImmediate(send)
  })
}

for (let index = 0; index < inFlight; index++) send()
let round = 0
for (;;) {
  if (round++ % 11 === 0) await buffer.split(round % 2 === 0 ? 0 : 500)
  const batch = await buffer.seal(700, round % 3 === 0 ? 'backlog' : 'live')
  if (batch) writeSync(log, `s ${batch.epoch} ${batch.seq} ${Buffer.from(batch.body).toString('base64')}\n`)
  if (batch && batch.seq % 3 === 0) {
    await buffer.acknowledge(batch.epoch, batch.seq)
    writeSync(log, `k ${batch.epoch} ${batch.seq}\n`)
  }
  await new Promise(resolve => setTimeout(resolve, 5))
}
