/** The commands that look at a buffer: of a running writer, of a stopped one, of damaged files, of a copy. */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runProgram } from '@tributary/shared/cli'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Buffer as ReadingBuffer } from '../buffer/buffer.ts'
import { accept, message, reading } from '../buffer/buffer-suite.ts'
import { openBuffer } from '../buffer/sqlite-buffer.ts'
import { program } from './program.ts'

let dataDir: string
let folder: string
let opened: ReadingBuffer[]
let children: ChildProcess[]

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tributary-commands-'))
  folder = join(dataDir, 'buffer')
  mkdirSync(folder)
  opened = []
  children = []
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const buffer of opened) await buffer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

async function open(more: object = {}): Promise<ReadingBuffer> {
  const fixed = { worker: false, windowMs: 0, ballastBytes: 0, minFreeBytes: 0, agentId: () => 'ag-a' }
  const buffer = await openBuffer({ folder, ...fixed, maxBytes: 4 * 1024 * 1024, fileBytes: 64 * 1024, ...more })
  opened.push(buffer)
  return buffer
}

async function shut(buffer: ReadingBuffer): Promise<void> {
  opened = opened.filter(one => one !== buffer)
  await buffer.close()
}

const startUs = Date.UTC(2026, 0, 1) * 1000

/** Readings a second apart, ten a row, of which one is text. */
async function fill(buffer: ReadingBuffer, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 10) {
    const readings = Array.from({ length: 10 }, (_, index) =>
      reading(`d${index % 3}`, startUs + (n + index) * 1_000_000, index === 9 ? 'a, "b"' : Math.sin(n + index)),
    )
    await accept(buffer, message(readings))
  }
}

async function run(...argv: string[]) {
  const stdout: string[] = []
  const stderr: string[] = []
  const io = {
    stdout: (text: string) => void stdout.push(text),
    stderr: (text: string) => void stderr.push(text),
    env: { TRIBUTARY_DATA_DIR: dataDir, TRIBUTARY_HEALTH_PORT: '1' },
    signal: new AbortController().signal,
  }
  const code = await runProgram(program, argv, io)
  return { code, stdout: stdout.join(''), stderr: stderr.join('') }
}

/** Names, sizes and times of everything in the folder: what a look must not change. */
function fingerprint(): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .map(name => `${name} ${statSync(join(folder, name)).size} ${statSync(join(folder, name)).mtimeMs}`)
}

function flip(name: string, at: number, length: number): void {
  const bytes = readFileSync(join(folder, name))
  for (let index = at; index < at + length; index++) bytes[index] = (bytes[index] ?? 0) ^ 0xff
  writeFileSync(join(folder, name), bytes)
}

function lines(text: string): { device: string; ts: string; value: unknown; class: string }[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}

test('a whole buffer is whole, while it is written and when it is closed, and the look leaves no trace', async () => {
  const buffer = await open()
  await fill(buffer, 0, 5000)
  await buffer.seal(100, 'live')
  for (const state of ['written', 'closed']) {
    if (state === 'closed') await shut(buffer)
    const before = fingerprint()
    const { code, stdout, stderr } = await run('buffer', 'verify')
    expect([code, stdout]).toEqual([0, expect.stringContaining('\nwhole\n')])
    expect(stdout).toMatch(/^000001\.db {2}.*whole$/m)
    expect(stderr).toContain('checking 000001.db')
    const exported = lines((await run('buffer', 'export')).stdout)
    expect(exported).toHaveLength(5000)
    expect(exported[1]).toMatchObject({
      ts: '2026-01-01T00:00:01.000000Z',
      device: 'd1',
      quality: 'good',
      class: 'raw',
    })
    expect(fingerprint()).toEqual(before)
  }
})

test('of a process that writes as fast as it can, every look finds whole records and all that was acknowledged before it', async () => {
  const log = join(dataDir, 'log')
  const script = join(import.meta.dirname, '../buffer/crash-child.ts')
  const child = spawn(process.execPath, [script, folder, '0', 'worker', log], { stdio: 'ignore' })
  children.push(child)
  const acknowledged = () => (existsSync(log) ? (readFileSync(log, 'latin1').match(/^a /gm)?.length ?? 0) : 0)
  while (acknowledged() < 300 && child.exitCode === null && child.signalCode === null) await sleep(20)
  const first = acknowledged()
  for (let look = 0; look < 3; look++) {
    const before = acknowledged()
    expect(await run('buffer', 'verify')).toMatchObject({ code: 0, stdout: expect.stringMatching(/\nwhole\n$/) })
    const summary = await run('buffer', 'export', '--json', '--out', join(dataDir, `out-${look}`))
    expect(JSON.parse(summary.stdout).readings).toBeGreaterThanOrEqual(before)
  }
  expect(acknowledged()).toBeGreaterThan(first)
})

test('damage is found by file, and what can be read is exported all the same', async () => {
  const buffer = await open()
  await fill(buffer, 0, 5000)
  await shut(buffer)
  flip('000001.db', 30_000, 1500)
  const { code, stdout } = await run('buffer', 'verify', '--json')
  const found = JSON.parse(stdout)
  expect(code).toBe(1)
  expect(found.whole).toBe(false)
  expect(found.problems.join()).toMatch(/000001\.db is damaged/)
  expect(found.problems.join()).toMatch(/rows \d+ to \d+ are missing in file 1/)
  const exported = lines((await run('buffer', 'export')).stdout)
  expect(exported.length).toBeGreaterThan(4500)
  expect(exported.length).toBeLessThan(5000)
  expect(new Set(exported.map(({ ts }) => ts)).size).toBe(exported.length)
})

test('what is in quarantine is exported once, and is no problem', async () => {
  const buffer = await open()
  await fill(buffer, 0, 3000)
  await shut(buffer)
  flip('000001.db', 30_000, 1500)
  const repaired = await open()
  await shut(repaired)
  while (!readdirSync(folder).includes('quarantine')) {
    const again = await open()
    for (let batch = await again.seal(5000, 'live'); batch; batch = await again.seal(5000, 'live'));
    await shut(again)
  }
  const verified = await run('buffer', 'verify')
  expect(verified.stdout).toMatch(/-000001\.db {2}.*in quarantine, DAMAGED/)
  expect(verified.code).toBe(0)
  const exported = lines((await run('buffer', 'export')).stdout)
  expect(new Set(exported.map(({ ts }) => ts)).size).toBe(exported.length)
  const alone = lines((await run('buffer', 'export', join(folder, 'quarantine'))).stdout)
  expect(alone.length).toBeGreaterThan(500)
})

test.each([
  ['a missing file', () => rmSync(join(folder, '000002.db')), /file 2 with rows \d+ to \d+ is missing/],
  ['a missing log', () => rmSync(join(folder, '000001.db')), /file 1 with rows/],
  [
    'no state',
    () => {
      for (const name of readdirSync(folder))
        if (name > '000001.db' && name.endsWith('.db') && name !== 'lock.db') rmSync(join(folder, name))
    },
    /missing at the end/,
  ],
])('%s is a problem', async (_what, harm, expected) => {
  const buffer = await open()
  await fill(buffer, 0, 6000)
  await shut(buffer)
  harm()
  const { code, stdout } = await run('buffer', 'verify')
  expect(code).toBe(1)
  expect(stdout).toMatch(expected)
})

test('a loss that the ledger does not name is a problem', async () => {
  const buffer = await open({ maxBytes: 1024 * 1024, sabotage: 'no-ledger' })
  for (let n = 0; n < 40; n++) {
    const bulky = Array.from({ length: 10 }, (_, index) => reading('d', startUs + n * 10 + index, 'x'.repeat(4000)))
    await accept(buffer, message(bulky))
  }
  expect((await buffer.stats()).counters.evicted).toBeGreaterThan(0)
  await shut(buffer)
  expect((await run('buffer', 'verify')).stdout).toMatch(
    /PROBLEM {2}the ledger names 0 lost readings, the counters \d+/,
  )
})

test('an export takes what is asked for: time, device, metric, form', async () => {
  const buffer = await open()
  await fill(buffer, 0, 100)
  const span = ['--from', '2026-01-01T00:00:10Z', '--to', String(Date.UTC(2026, 0, 1, 0, 0, 20))]
  expect(lines((await run('buffer', 'export', ...span)).stdout)).toHaveLength(10)
  expect(lines((await run('buffer', 'export', ...span, '--device', 'd?', '--metric', 'temp*')).stdout)).toHaveLength(10)
  const csv = (await run('buffer', 'export', ...span, '--device', 'd0', '--format', 'csv')).stdout.split('\r\n')
  expect(csv[0]).toBe('ts,device,metric,unit,value,quality,class,row,boot,bootUs')
  expect(csv.filter(line => line.includes(',d0,'))).toHaveLength(4)
  expect(csv.slice(1).find(line => line.includes('b'))).toContain('"a, ""b"""')
  const out = join(dataDir, 'all.ndjson')
  expect(await run('buffer', 'export', '--out', out)).toMatchObject({ code: 0, stdout: '' })
  expect(lines(readFileSync(out, 'utf8'))).toHaveLength(100)
  expect(statSync(out).mode & 0o777).toBe(0o600)
})

test.each([
  [['export', '--format', 'xml'], 2, /--format: xml is not ndjson or csv/],
  [['export', '--from', 'yesterday'], 2, /--from: yesterday is neither/],
  [['export', '--json'], 2, /name a file for the readings with --out/],
  [['verify', '/nowhere'], 1, /there is no folder \/nowhere/],
  [['verify', '/tmp', '/tmp'], 2, /name one folder/],
  [['verify'], 1, /there is no buffer in .*\n {2}Name a data folder/],
] as const)('buffer %j is refused with what to do', async (argv, code, text) => {
  const found = await run('buffer', ...argv)
  expect(found.code).toBe(code)
  expect(found.stderr).toMatch(text)
})

test('an export does not overwrite, nor write into the buffer', async () => {
  const buffer = await open()
  await fill(buffer, 0, 10)
  writeFileSync(join(dataDir, 'there'), 'mine')
  expect((await run('buffer', 'export', '--out', join(dataDir, 'there'))).stderr).toMatch(/there is there already/)
  expect((await run('buffer', 'export', '--out', join(folder, 'x'))).stderr).toMatch(/is in the buffer itself/)
  expect(readFileSync(join(dataDir, 'there'), 'utf8')).toBe('mine')
})

test('a copied card is looked at where it lies, read only', async () => {
  const buffer = await open()
  await fill(buffer, 0, 2000)
  const card = join(dataDir, 'card')
  cpSync(folder, join(card, 'buffer'), { recursive: true })
  const { stdout, code } = await run('buffer', 'verify', card)
  expect([code, stdout]).toEqual([0, expect.stringContaining('whole')])
  expect(lines((await run('buffer', 'export', card)).stdout)).toHaveLength(2000)
})

test('the stats of a stopped agent tell what waits and what became of the readings', async () => {
  const buffer = await open()
  await fill(buffer, 0, 100)
  await buffer.seal(30, 'live')
  await shut(buffer)
  const { stdout, code } = await run('buffer', 'stats')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^waiting {4}100 readings: 70 live, 0 in 0 ranges of backlog, the rest in 1 sealed batches$/m)
  expect(stdout).toMatch(/^readings {3}100 accepted = 100 stored/m)
  expect(JSON.parse((await run('buffer', 'stats', '--json')).stdout)).toMatchObject({ running: false })
})
