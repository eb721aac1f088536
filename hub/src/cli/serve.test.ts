// `serve` as a process, with its own Postgres.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { findPostmaster } from '../database/postmaster.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-serve-'))
const main = new URL('../main.ts', import.meta.url).pathname
const running = new Set<ChildProcess>()

afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

function serve(dataDir: string, ...more: string[]) {
  const child = spawn(process.execPath, [main, 'serve', '--data', dataDir, '--port', '0', ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH },
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>
  return { child, exited, stderr: text(child.stderr), lines: createInterface({ input: child.stdout }) }
}

test('it says when it is ready, refuses a second hub on its folder, and ends cleanly on SIGTERM', async () => {
  const dataDir = join(folder, 'data')
  const hub = serve(dataDir, '--json')
  const [line] = (await once(hub.lines, 'line')) as [string]
  const ready = JSON.parse(line) as { event: string; url: string; adminKeyFile: string }
  expect(ready).toEqual({
    event: 'ready',
    url: expect.stringMatching(/^http:/),
    adminKeyFile: join(dataDir, 'admin-key'),
  })
  expect(statSync(ready.adminKeyFile).mode & 0o777).toBe(0o600)
  expect((await fetch(`${ready.url}/readyz`)).status).toBe(200)

  const second = serve(dataDir)
  expect((await second.exited)[0]).toBe(1)
  expect(await second.stderr).toMatch(/another hub runs on .*\n.*data folder/)
  expect((await fetch(`${ready.url}/readyz`)).status).toBe(200)

  hub.child.kill('SIGTERM')
  expect(await hub.exited).toEqual([0, null])
  await expect(fetch(`${ready.url}/healthz`)).rejects.toThrow()
}, 60_000)

test('a SIGTERM while the database is made ends it at once, and leaves nothing half made', async () => {
  const dataDir = join(folder, 'stopped-early')
  const child = spawn(process.execPath, [main, 'serve', '--data', dataDir, '--port', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH },
  })
  running.add(child)
  const exited = once(child, 'exit')
  const log = createInterface({ input: child.stderr })
  const said: string[] = []
  log.on('line', line => {
    said.push(line)
    if (line.includes('making a Postgres data folder')) child.kill('SIGTERM')
  })
  expect(await exited).toEqual([0, null])
  expect(said.at(-1)).toContain('stopped before it was ready')
  expect(said.join()).not.toContain('starting Postgres')
  expect(readdirSync(dataDir).filter(name => name.startsWith('postgres.') || name === 'postgres')).toEqual([])
})

test('a reader that is gone does not end it before it has stopped its Postgres', async () => {
  const dataDir = join(folder, 'unread')
  const child = spawn(process.execPath, [main, 'serve', '--data', dataDir, '--port', '0', '--json'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, TRIBUTARY_STOP_WITH_STDIN: '1' },
  })
  running.add(child)
  const exited = once(child, 'exit')
  child.stdout.destroy()
  child.stderr.destroy()
  while (!existsSync(join(dataDir, 'admin-key'))) await sleep(20)
  child.stdin.end()
  expect(await exited).toEqual([0, null])
  expect(findPostmaster(join(dataDir, 'postgres', 'data'))).toBeNull()
})

test('a data folder that cannot be used is said with what to do', async () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  const { exited, stderr } = serve(join(file, 'data'))
  expect((await exited)[0]).toBe(1)
  expect(await stderr).toMatch(
    /the data folder .* cannot be used: .*\n {2}Name one that this account may write to: --data/,
  )
})

test('a sabotage that is not known is refused', async () => {
  const child = spawn(process.execPath, [main, 'serve', '--data', join(folder, 'x')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { TRIBUTARY_SABOTAGE: 'typo' },
  })
  expect(await text(child.stderr)).toMatch(/TRIBUTARY_SABOTAGE names `typo`/)
})
