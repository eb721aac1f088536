import { pino } from 'pino'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openPtyPair, type PtyPair } from '../../../../firmware-sim/src/transports/pty.ts'
import { encodeFrame } from '../../../../firmware-sim/src/transports/serial-framing.ts'
import { parseAgentConfig, type SerialConfig } from '../../config/agent-config.ts'
import { createDecoder } from '../../decode/decoder.ts'
import { MemoryBuffer } from '../mqtt/mqtt-test-kit.ts'
import type { Accept } from '../source.ts'
import { SerialSource } from './serial-source.ts'

const clean: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

async function openPair(): Promise<PtyPair & { heard: () => string; say: (text: string | Buffer) => void }> {
  const pair = await openPtyPair()
  clean.push(() => pair.close())
  let heard = ''
  pair.master.on('data', chunk => {
    heard += chunk
  })
  return { ...pair, heard: () => heard, say: text => void pair.master.write(text) }
}

async function start(
  path: string,
  given: { buffer?: MemoryBuffer; config?: Partial<SerialConfig>; accept?: Accept } = {},
) {
  const buffer = given.buffer ?? new MemoryBuffer()
  const [defaults] = parseAgentConfig('serial: [{name: line, path: x, device: press1}]', 'test', {}).serial
  const source = new SerialSource({
    config: { ...defaults!, path, ...given.config },
    accept: given.accept ?? ((message, done) => buffer.accept(message, done)),
    buffer,
    decoder: createDecoder({ routes: [], maxPayloadBytes: 65536 }),
    log: pino({ level: 'silent' }),
    sabotage: { ackBeforeCommit: false, noDuplicateCheck: false },
    stamp: () => ({ tsUs: Date.now() * 1000, placed: true }),
    retry: { baseMs: 10, capMs: 20 },
  })
  clean.push(() => source.stop())
  await source.start()
  return { source, buffer }
}

async function running(source: SerialSource): Promise<void> {
  await vi.waitFor(() => expect(source.status().state).toBe('running'))
}

const acknowledgedFraming = { config: { framing: 'acknowledged' } } as const

describe('what is wrong inside', () => {
  it('starts that line again, and the line after it is stored', async () => {
    const pair = await openPair()
    const buffer = new MemoryBuffer()
    const { source } = await start(pair.path, {
      buffer,
      accept: (message, done) => {
        if (message.readings[0]?.value === 13) throw new Error('a fault of ours')
        buffer.accept(message, done)
      },
    })
    await running(source)
    pair.say('{"temp":13}\n')
    await vi.waitFor(() => expect(source.status().lastError?.detail).toBe('a fault of ours'))
    await running(source)
    pair.say('{"temp":2}\n')
    await vi.waitFor(() => expect(buffer.values).toEqual([2]))
    expect(source.status()).toMatchObject({ failures: 1 })
  })

  it('of a path that is no serial line, it is tried again and said why', async () => {
    const { source } = await start('/dev/null')
    await vi.waitFor(() => expect(source.status().failures).toBeGreaterThan(1))
    expect(source.status()).toMatchObject({ state: 'waiting', detail: expect.stringContaining('/dev/null: ') })
  })
})

describe('plain lines', () => {
  it('are stored, good ones as readings, bad ones as dead letters', async () => {
    const pair = await openPair()
    const { source, buffer } = await start(pair.path, { config: { maxLine: 64 } })
    await running(source)
    pair.say(`{"temp":1}\r\n{"device":"d","metric":"m","value":2}\nnoise\n${'x'.repeat(100)}\n{"temp":3}\n`)
    await vi.waitFor(() => expect(buffer.values).toEqual([1, 2, 3]))
    expect(buffer.messages.flatMap(m => m.deadLetter?.reason ?? [])).toEqual([
      'malformed JSON',
      'line of 100 bytes; at most 64 are decoded',
    ])
    expect(buffer.messages[0]?.readings[0]?.series.device).toBe('press1')
    expect(pair.heard()).toBe('')
  })

  it('that cannot be stored are counted', async () => {
    const pair = await openPair()
    const { source, buffer } = await start(pair.path)
    await running(source)
    buffer.mode = 'fail'
    pair.say('{"temp":1}\n')
    await vi.waitFor(() => expect(source.stats().dropped).toBe(1))
  })
})

describe('acknowledged lines', () => {
  it('are answered after the commit, again when they come again, and stored once', async () => {
    const pair = await openPair()
    const { source, buffer } = await start(pair.path, acknowledgedFraming)
    await running(source)
    buffer.mode = 'hold'
    const first = encodeFrame(1, Buffer.from('{"temp":1}'))
    pair.say(first)
    pair.say(first)
    await vi.waitFor(() => expect(source.status().messages).toBe(2))
    expect(pair.heard()).toBe('')
    buffer.commit()
    await vi.waitFor(() => expect(pair.heard()).toBe('ACK 1\nACK 1\n'))
    buffer.mode = 'pass'
    pair.say(first)
    await vi.waitFor(() => expect(pair.heard()).toBe('ACK 1\nACK 1\nACK 1\n'))
    expect(buffer.values).toEqual([1])
    expect(source.status().duplicates).toBe(2)
  })

  it('damaged on the way get no answer; bad JSON in a good frame does', async () => {
    const pair = await openPair()
    const { source, buffer } = await start(pair.path, acknowledgedFraming)
    await running(source)
    const damaged = encodeFrame(1, Buffer.from('{"temp":1}'))
    damaged[3]! ^= 1
    pair.say(damaged)
    pair.say(encodeFrame(2, Buffer.from('{"temp"')))
    await vi.waitFor(() => expect(pair.heard()).toBe('ACK 2\n'))
    expect(source.stats().damaged).toBe(1)
    expect(buffer.messages.map(m => m.deadLetter?.reason)).toEqual(['malformed JSON'])
  })

  it('are recognised after a restart', async () => {
    const pair = await openPair()
    const first = await start(pair.path, acknowledgedFraming)
    await running(first.source)
    pair.say(encodeFrame(5, Buffer.from('{"temp":1}')))
    await vi.waitFor(() => expect(pair.heard()).toBe('ACK 5\n'))
    await first.source.stop()
    const second = await start(pair.path, {
      ...acknowledgedFraming,
      buffer: new MemoryBuffer(first.buffer.survivors()),
    })
    await running(second.source)
    pair.say(encodeFrame(5, Buffer.from('{"temp":1}')))
    await vi.waitFor(() => expect(pair.heard()).toBe('ACK 5\nACK 5\n'))
    expect(second.buffer.messages).toEqual([])
  })

  it('of a device that starts anew are new, though their numbers are not', async () => {
    const pair = await openPair()
    const { source, buffer } = await start(pair.path, acknowledgedFraming)
    await running(source)
    for (const n of [1, 2, 1, 2]) pair.say(encodeFrame(n, Buffer.from('{"temp":1}')))
    await vi.waitFor(() => expect(pair.heard()).toBe('ACK 1\nACK 2\nACK 1\nACK 2\n'))
    expect(buffer.messages.map(m => m.maybeDuplicate)).toEqual([false, false, true, false])
  })
})

describe('the port', () => {
  it('that does not exist, or vanishes, is waited for', async () => {
    const missing = await start('/dev/does-not-exist')
    await vi.waitFor(() => expect(missing.source.status().state).toBe('waiting'))
    expect(missing.source.status().detail).toMatch(/does-not-exist/)

    const pair = await openPair()
    const { source } = await start(pair.path)
    await running(source)
    await pair.close()
    await vi.waitFor(() => expect(source.status().state).toBe('waiting'))
  })

  it('that hangs up while it is being read is waited for too', async () => {
    const pair = await openPair()
    const { source } = await start(pair.path)
    await running(source)
    const talking = setInterval(() => pair.say('{"metric":"t","value":1}\n'.repeat(40)), 1)
    await vi.waitFor(() => expect(source.status().messages).toBeGreaterThan(100))
    clearInterval(talking)
    await pair.close()
    await vi.waitFor(() => expect(source.status().state).toBe('waiting'), { timeout: 10_000 })
  })
})
