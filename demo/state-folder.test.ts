import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { clearStateFolders, openStateFolder } from './state-folder.ts'

let parent: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'tributary-state-'))
})
afterEach(() => {
  chmodSync(parent, 0o700)
  rmSync(parent, { recursive: true })
})

async function deadPid(): Promise<number> {
  const child = spawn('true')
  await once(child, 'exit')
  return child.pid!
}

const folder = (name: string, marker?: object) => {
  mkdirSync(join(parent, name, 'hub'), { recursive: true })
  if (marker) writeFileSync(join(parent, name, 'tributary-demo.json'), JSON.stringify(marker))
}
const clear = () => clearStateFolders(parent, () => undefined)

test('the folder of a running demo stays, and goes when it is removed', async () => {
  const state = await openStateFolder(parent, 40_000)
  await clear()
  expect(existsSync(state.path)).toBe(true)
  await state.remove()
  expect(readdirSync(parent)).toEqual([])
})

test('of what is there, only folders with a marker whose process is gone are removed', async () => {
  folder('demo-dead', { pid: await deadPid(), startedAt: null, countedIn: null })
  folder('demo-foreign')
  folder('demo-live', { pid: process.pid, startedAt: null, countedIn: null })
  folder('other', { pid: await deadPid(), startedAt: null, countedIn: null })
  await clear()
  expect(readdirSync(parent).sort()).toEqual(['demo-foreign', 'demo-live', 'other'])
})

test.runIf(process.platform === 'linux')('a later process with the same number is told from the demo', async () => {
  folder('demo-reused', { pid: process.pid, startedAt: 'another boot/1', countedIn: null })
  await clear()
  expect(readdirSync(parent)).toEqual([])
})

test.runIf(process.platform === 'linux')(
  'the folder of a demo in another container stays until the machine has booted again',
  async () => {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const pid = await deadPid()
    folder('demo-container', { pid, startedAt: null, countedIn: `${boot}/pid:[1]` })
    folder('demo-before-boot', { pid, startedAt: null, countedIn: 'another boot/pid:[1]' })
    await clear()
    expect(readdirSync(parent)).toEqual(['demo-container'])
  },
)

test.each(['{"pid":', '{}', '3', 'null'])('a marker %s leaves its folder alone', async text => {
  folder('demo-odd')
  writeFileSync(join(parent, 'demo-odd', 'tributary-demo.json'), text)
  await clear()
  expect(readFileSync(join(parent, 'demo-odd', 'tributary-demo.json'), 'utf8')).toBe(text)
})

test('a marker with nothing but a number is enough', async () => {
  folder('demo-dead', { pid: await deadPid() })
  folder('demo-live', { pid: process.pid })
  await clear()
  expect(readdirSync(parent)).toEqual(['demo-live'])
})

test('a place that cannot be written is refused with the option that names another one', async () => {
  writeFileSync(join(parent, 'file'), '')
  await expect(openStateFolder(join(parent, 'file', 'below'), 40_000)).rejects.toMatchObject({
    code: 'storage',
    hint: expect.stringContaining('--state DIR'),
  })
})
