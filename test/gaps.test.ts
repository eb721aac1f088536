/** A gateway's books against a real hub: what is on its way, lost, or gone without a word, as `tributary-hub gaps` tells it. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runProgram } from '@tributary/shared/cli'
import { fields, parseBatchField } from '@tributary/shared/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Buffer as ReadingBuffer } from '../agent/src/buffer/buffer.ts'
import { openBuffer } from '../agent/src/buffer/sqlite-buffer.ts'
import { type Identity, loadIdentity } from '../agent/src/identity/identity.ts'
import { Uplink } from '../agent/src/uplink/uplink.ts'
import { uplinkConfig } from '../agent/src/uplink/uplink-config.ts'
import { program } from '../hub/src/cli/program.ts'
import { enrollAgent, type RunningHub, startHub } from './harness/stack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-gaps-'))
let hub: RunningHub
let between: Between
let agents = 0
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  hub = await startHub({ folder })
  between = await Between.start(hub.url)
}, 120_000)

afterEach(async () => {
  between.rule = () => 'pass'
  for (const end of ends.splice(0).reverse()) await end()
})

afterAll(async () => {
  between?.stop()
  await hub?.program.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

type Rule = (seq: number) => 'pass' | 'refuse' | 'swallow'

/** Stands between agent and hub: refuses batches, or answers them itself as if they were stored. */
class Between {
  rule: Rule = () => 'pass'
  readonly #server: Server
  readonly #hubUrl: string

  private constructor(hubUrl: string) {
    this.#hubUrl = hubUrl
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const seq = parseBatchField(String(request.headers[fields.batch] ?? ''))?.seq
      const what = seq === undefined ? 'pass' : this.rule(seq)
      if (what === 'pass') {
        const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers
        const body = chunks.length > 0 ? Buffer.concat(chunks) : null
        const init = { method: request.method!, headers: headers as Record<string, string>, body }
        const answer = await fetch(this.#hubUrl + request.url, init)
        response.writeHead(answer.status, Object.fromEntries(answer.headers))
        response.end(Buffer.from(await answer.arrayBuffer()))
      } else if (what === 'refuse') {
        response.writeHead(503, { 'retry-after': '1' }).end()
      } else {
        const stored = { accepted: 10, rejected: [], settled: 1, desiredConfigVersion: 0, credits: 1 }
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(stored))
      }
    })
  }

  static async start(hubUrl: string): Promise<Between> {
    const between = new Between(hubUrl)
    await new Promise<void>(resolve => between.#server.listen(0, '127.0.0.1', resolve))
    return between
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

interface Gateway {
  readonly identity: Identity
  readonly folder: string
  buffer: ReadingBuffer
}

async function gateway(more: { maxBytes?: number; fileBytes?: number } = {}): Promise<Gateway> {
  const own = join(folder, `gateway-${++agents}`)
  await enrollAgent({ folder: own, hub, hubUrl: between.url })
  const identity = (await loadIdentity(join(own, 'agent')))!
  const made = { identity, folder: own, buffer: await open(own, identity, more) }
  ends.push(() => made.buffer.close())
  return made
}

function open(own: string, identity: Identity, more: { maxBytes?: number; fileBytes?: number } = {}) {
  const fixed = { worker: false, ballastBytes: 0, minFreeBytes: 0, agentId: () => identity.agentId }
  return openBuffer({ folder: join(own, 'buffer'), ...fixed, ...more })
}

let next = 0

/** Readings, then so many of them sealed, ten a batch. */
async function seal(buffer: ReadingBuffer, batches: number, text = ''): Promise<void> {
  await accept(buffer, batches * 10, text)
  while (await buffer.seal(10, 'live'));
}

async function accept(buffer: ReadingBuffer, count: number, text: string): Promise<void> {
  for (let left = count; left > 0; left--) {
    const value = text === '' ? next : text
    const reading = { series: { device: 'd', metric: 'n', unit: '' }, tsUs: Date.now() * 1000 + next++, value }
    const message = { readings: [{ ...reading, quality: 0 as const }], deadLetter: null, receipt: null }
    await new Promise<void>((resolve, reject) =>
      buffer.accept({ ...message, maybeDuplicate: false }, error => (error ? reject(error) : resolve())),
    )
  }
}

/** Send until `done`. */
async function send({ buffer, identity }: Gateway, done: (uplink: Uplink) => Promise<boolean>): Promise<void> {
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const uplink = new Uplink({ buffer, identity, config: uplinkConfig(), log })
  uplink.start()
  while (!(await done(uplink))) await sleep(20)
  await uplink.stop()
}

const everythingSent = (buffer: ReadingBuffer) => async () => (await buffer.stats()).backlogReadings === 0

async function gaps(args = ''): Promise<{ code: number; text: string; lines: string[] }> {
  const said: string[] = []
  const io = {
    stdout: (part: string) => void said.push(part),
    stderr: (part: string) => void said.push(part),
    env: { TRIBUTARY_HUB_URL: hub.url, TRIBUTARY_ADMIN_KEY: hub.adminKey },
    signal: new AbortController().signal,
  }
  const code = await runProgram(program, ['gaps', ...args.split(' ').filter(word => word !== '')], io)
  const text = said.join('')
  return { code, text, lines: text.split('\n') }
}

/** The agent's line, once it says so. */
async function verdict({ identity }: Gateway, wanted: RegExp): Promise<{ code: number; text: string }> {
  const endMs = Date.now() + 20_000
  for (;;) {
    const { code, text, lines } = await gaps(`--agent ${identity.agentId}`)
    const line = lines.find(one => one.startsWith(identity.agentId)) ?? ''
    if (wanted.test(line)) return { code, text }
    if (Date.now() > endMs) throw new Error(`wanted ${wanted}, found:\n${text}`)
    await sleep(50)
  }
}

test('what was sent is balanced, over a kill of the agent too', async () => {
  const own = await gateway()
  await verdict(own, /nothing came yet$/)
  await seal(own.buffer, 3)
  await send(own, everythingSent(own.buffer))
  expect((await verdict(own, / 30 +30 +0 +balanced$/)).code).toBe(0)
  await seal(own.buffer, 2)
  const asKilled = join(own.folder, 'killed')
  cpSync(join(own.folder, 'buffer'), join(asKilled, 'buffer'), { recursive: true })
  await own.buffer.close()
  own.buffer = await open(asKilled, own.identity)
  await seal(own.buffer, 1)
  await send(own, everythingSent(own.buffer))
  expect((await verdict(own, / 60 +60 +0 +balanced$/)).code).toBe(0)
})

test('a backlog is on its way, not missing', async () => {
  const own = await gateway()
  await seal(own.buffer, 5)
  between.rule = seq => (seq === 1 ? 'pass' : 'refuse')
  await send(own, async uplink => uplink.status().sentBatches === 1 && uplink.status().failedTries > 0)
  const { code } = await verdict(own, / 50 +10 +0 +on its way 40$/)
  expect(code).toBe(0)
  between.rule = () => 'pass'
  await send(own, everythingSent(own.buffer))
  await verdict(own, / 50 +50 +0 +balanced$/)
})

test('what the agent gave up is on the books, and balanced', async () => {
  const own = await gateway({ maxBytes: 1024 * 1024, fileBytes: 64 * 1024 })
  await accept(own.buffer, 600, 'x'.repeat(4000))
  const { evicted } = (await own.buffer.stats()).counters
  expect(evicted).toBeGreaterThan(100)
  await seal(own.buffer, 1)
  await send(own, everythingSent(own.buffer))
  const { evicted: lost, stored } = (await own.buffer.stats()).counters
  const { code, text } = await verdict(own, new RegExp(` 610 +${stored} +${lost} +balanced$`))
  expect(code).toBe(0)
  expect(text).toMatch(/lost +\d+ +evicted/)
})

test('a batch that vanished behind an answer is found missing, with exit code 1', async () => {
  const own = await gateway()
  await seal(own.buffer, 3)
  between.rule = seq => (seq === 2 ? 'swallow' : 'pass')
  await send(own, everythingSent(own.buffer))
  await seal(own.buffer, 1)
  await send(own, everythingSent(own.buffer))
  const { code, text } = await verdict(own, / 40 +30 +0 +missing 1 batch, at most 10 readings$/)
  expect(code).toBe(1)
  expect(text).toMatch(new RegExp(`${own.identity.agentId} +\\d+ +2 +missing`))
  const all = await gaps('--json')
  const found = JSON.parse(all.text) as { agents: { agentId: string; verdict: string }[]; gaps: object[] }
  expect(all.code).toBe(1)
  expect(found.gaps).toMatchObject([{ agentId: own.identity.agentId, kind: 'missing', fromSeq: 2, toSeq: 2 }])
  expect(found.agents.filter(one => one.verdict === 'missing')).toHaveLength(1)
})
