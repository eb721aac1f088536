// Needs prlimit (util-linux): a limit on file sizes makes every write to the log of the database fail, and can be lifted again.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { contents } from './buffer-suite.ts'
import { openBuffer } from './sqlite-buffer.ts'

test('while the disk refuses, messages are refused; when it takes again, so does the buffer, alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-disk-'))
  const log = join(folder, 'log')
  writeFileSync(log, '')
  const script = fileURLToPath(new URL('./disk-failure-child.ts', import.meta.url))
  const child = spawn(process.execPath, [script, join(folder, 'data'), log], { stdio: 'inherit' })
  const lines = () => readFileSync(log, 'utf8').split('\n')
  const heard = async (line: string | RegExp) => {
    while (!lines().some(one => one.match(line))) {
      if (child.exitCode !== null) throw new Error('the child ended')
      await sleep(20)
    }
  }
  const limitFileSize = (limit: string) => execFileSync('prlimit', ['--pid', String(child.pid), `--fsize=${limit}`])
  try {
    await heard('stored 20')
    limitFileSize('20000:unlimited')
    await heard('writable false')
    await heard('refused storage')
    limitFileSize('unlimited:unlimited')
    await heard('writable true')
    const before = lines().length
    while (
      !lines()
        .slice(before)
        .some(line => line.startsWith('stored'))
    )
      await sleep(20)
    child.kill('SIGKILL')
    await once(child, 'close')
    const stored = lines()
      .filter(line => line.startsWith('stored'))
      .map(line => Number(line.slice(7)))
    const buffer = await openBuffer({
      folder: join(folder, 'data'),
      worker: false,
      ballastBytes: 0,
      agentId: () => 'ag-disk',
    })
    const found: number[] = []
    for (let batch = await buffer.seal(1000, 'live'); batch; batch = await buffer.seal(1000, 'live')) {
      found.push(...contents(batch.body).map(([, number]) => number))
    }
    expect(stored.filter(number => !found.includes(number))).toEqual([])
    expect(new Set(found).size).toBe(found.length)
    expect((await buffer.stats()).losses).toEqual([])
    await buffer.close()
  } finally {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
})
