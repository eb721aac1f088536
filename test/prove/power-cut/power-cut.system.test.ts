// Needs a C compiler (gcc, libc6-dev), for the shim that the child runs under.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openBuffer } from '../../../agent/src/buffer/sqlite-buffer.ts'
import { createRandom } from '../../../firmware-sim/src/signals/random.ts'
import { PowerCut } from './power-cut.ts'

let work: string
let root: string

beforeEach(() => {
  work = realpathSync(mkdtempSync(join(tmpdir(), 'tributary-power-cut-')))
  root = join(work, 'data')
  mkdirSync(root)
})
afterEach(() => rm(work, { recursive: true, force: true }))

/** Runs the script under the shim until it writes a line, and kills it then. */
async function runUntilFirstLine(power: PowerCut, script: string): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, ...power.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  child.kill('SIGKILL')
  await once(child, 'close')
}

const acceptOne = () => `
  const { openBuffer } = await import(${JSON.stringify(new URL('../../../agent/src/buffer/sqlite-buffer.ts', import.meta.url).href)})
  const buffer = await openBuffer({ folder: ${JSON.stringify(join(root, 'a/buffer'))}, worker: false, ballastBytes: 0, agentId: () => 'ag-cut' })
  const readings = [{ series: { device: 'd', metric: 'm', unit: '' }, tsUs: 1, value: 1, quality: 0 }]
  buffer.accept({ readings, deadLetter: null, receipt: null, maybeDuplicate: false }, error => console.log(error ?? 'stored'))
`

test('the first reading of a new buffer survives a power cut, with the folders that were made for it', async () => {
  for (let seed = 0; seed < 4; seed++) {
    const power = new PowerCut(root, work)
    await runUntilFirstLine(power, acceptOne())
    power.cut(createRandom(String(seed)))
    const buffer = await openBuffer({
      folder: join(root, 'a/buffer'),
      worker: false,
      ballastBytes: 0,
      agentId: () => 'ag-cut',
    })
    expect((await buffer.stats()).backlogReadings).toBe(1)
    await buffer.close()
    await rm(join(root, 'a'), { recursive: true })
  }
})

test('a change that the shim does not see, and a life without a commit, are refused', async () => {
  const power = new PowerCut(root, work)
  const path = JSON.stringify(join(root, 'f'))
  await runUntilFirstLine(power, `import fs from 'node:fs'; fs.writeFileSync(${path}, 'x'); console.log('done')`)
  expect(() => power.cut(createRandom('1'))).toThrow(/no write to a write-ahead log/)
  const unseen = `import cp from 'node:child_process'
    cp.execFileSync('sh', ['-c', 'echo a > ' + ${path} + '2; echo b > ' + ${path} + '3'], { env: {} }); console.log('done')`
  await runUntilFirstLine(power, unseen)
  expect(() => power.killed()).toThrow(/does not see everything/)
})
