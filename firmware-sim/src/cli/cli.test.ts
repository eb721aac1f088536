import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from '@tributary/shared/cli'
import { Aedes } from 'aedes'
import { SerialPort } from 'serialport'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { acknowledgedReadings } from '../record/read-record.ts'
import { valueBits } from '../record/value-bits.ts'
import { fleetCommand } from './fleet.ts'
import { replayCommand } from './replay.ts'

let folder = ''
const cleanups: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sim-'))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await rm(folder, { recursive: true })
})

async function sim(args: string[], signal = new AbortController().signal) {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await runProgram(
    { name: 'firmware-sim', version: '0', summary: '', commands: [fleetCommand, replayCommand] },
    args,
    {
      stdout: text => out.push(text),
      stderr: text => err.push(text),
      env: {},
      signal,
    },
  )
  return { code, out: out.join(''), err: err.join('') }
}

/** What a broker received: `device/metric ts bits`, as often as it came. */
async function broker(): Promise<{ url: string; received: Map<string, number>; payloads: string[] }> {
  const aedes = await Aedes.createBroker()
  const received = new Map<string, number>()
  const payloads: string[] = []
  aedes.on('publish', (packet, client) => {
    if (client === null) return
    payloads.push(String(packet.payload))
    let parsed: { value: number; ts: number }
    try {
      parsed = JSON.parse(String(packet.payload))
    } catch {
      return // a malformed payload is no reading
    }
    const key = `${packet.topic.replace('sensors/', '')} ${parsed.ts} ${valueBits(parsed.value)}`
    received.set(key, (received.get(key) ?? 0) + 1)
  })
  const server = createServer(aedes.handle)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    await new Promise<void>(resolve => aedes.close(resolve))
    await new Promise(resolve => server.close(resolve))
  })
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, received, payloads }
}

describe('firmware-sim fleet', () => {
  it.each(['1', '2'])('QoS %s: what the record calls acknowledged is what the broker received', async qos => {
    const { url, received, payloads } = await broker()
    const record = join(folder, 'record.jsonl')
    const truth = join(folder, 'truth.jsonl')
    const { code, out } = await sim([
      'fleet',
      '--mqtt',
      url,
      '--qos',
      qos,
      '--devices',
      '3',
      '--connections',
      '2',
      '--count',
      '300',
      '--speed',
      'max',
      '--faults',
      'spike=0.02,malformed=0.02,duplicate=0.05,out-of-order=0.05,dropout=0.005',
      '--record',
      record,
      '--truth',
      truth,
      '--json',
    ])
    expect(code).toBe(0)
    expect(await acknowledgedReadings(record)).toEqual(received)
    expect(JSON.parse(out)).toMatchObject({
      sent: payloads.length,
      acknowledged: payloads.length,
      resent: 0,
      unacknowledged: 0,
    })
    const kinds = (await readFile(truth, 'utf8'))
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).fault)
    expect(new Set(kinds)).toEqual(new Set(['spike', 'malformed', 'duplicate', 'out-of-order', 'dropout']))
  })

  it('ends with code 1 when something stayed unacknowledged', async () => {
    const deaf = createServer(socket => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => socket.write(Buffer.from([0x20, 2, 0, 0]))) // CONNACK and nothing else
    })
    await new Promise<void>(resolve => deaf.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => new Promise(resolve => deaf.close(resolve)))
    const { port } = deaf.address() as AddressInfo
    const { code, out, err } = await sim([
      'fleet',
      '--mqtt',
      `mqtt://127.0.0.1:${port}`,
      '--count',
      '1',
      '--drain',
      '1ms',
      '--json',
    ])
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({ sent: 5, acknowledged: 0, unacknowledged: 5 })
    expect(err).toContain('5 messages were never acknowledged')
  })

  it('speaks over a serial line that it makes, links and removes', async () => {
    const link = join(folder, 'tty')
    const stop = new AbortController()
    const run = sim(
      ['fleet', '--devices', '1', '--rate', '200', '--serial', link, '--framing', 'lines', '--json'],
      stop.signal,
    )
    while (!existsSync(link)) await new Promise(setImmediate)
    const port = new SerialPort({ path: link, baudRate: 115_200 })
    const lines: string[] = []
    let rest = ''
    await new Promise<void>(resolve =>
      port.on('data', (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split('\n')
        rest = parts.pop()!
        lines.push(...parts)
        if (lines.length >= 3) resolve()
      }),
    )
    await new Promise(resolve => port.close(resolve))
    stop.abort()
    expect((await run).code).toBe(0)
    expect(JSON.parse(lines[1]!)).toMatchObject({
      device: 'machine-001',
      seq: expect.any(Number),
      running: expect.any(Boolean),
    })
    expect(existsSync(link)).toBe(false)
  })

  it('does not replace a file by a serial line', async () => {
    const file = join(folder, 'precious')
    await writeFile(file, 'x')
    const { code, err } = await sim(['fleet', '--serial', file])
    expect(code).toBe(1)
    expect(err).toContain('exists already and is no link')
    expect(await readFile(file, 'utf8')).toBe('x')
  })

  it.each([
    [['fleet', '--qos', '3'], '--qos cannot be "3"'],
    [['fleet', '--mqtt', 'http://x'], '--mqtt: "http://x" is not an MQTT address'],
    [['fleet', '--payload', 'xml'], 'one of: metric, device'],
    [['replay'], 'replay takes one file'],
    [['replay', 'a', 'b'], 'replay takes one file'],
    [['replay', 'a', '--times', 'later'], 'one of: shift, start, now, keep'],
  ])('says what is wrong with the command line: %j', async (args, message) => {
    const { code, err } = await sim(args)
    expect(code).toBe(2)
    expect(err).toContain(message)
  })
})

describe('firmware-sim replay', () => {
  it('plays a file and names its bad rows', async () => {
    const { url, payloads } = await broker()
    const path = join(folder, 'press.csv')
    await writeFile(path, 'timestamp,value\n2013-12-02 21:15:00,73.5\n2013-12-02 21:20:00,74\n')
    const good = await sim([
      'replay',
      path,
      '--mqtt',
      url,
      '--times',
      'keep',
      '--speed',
      'max',
      '--metric',
      't',
      '--unit',
      'Cel',
    ])
    expect(good.code).toBe(0)
    expect(payloads).toEqual([
      '{"value":73.5,"unit":"Cel","ts":1386018900000000,"seq":0}',
      '{"value":74,"unit":"Cel","ts":1386019200000000,"seq":1}',
    ])
    await writeFile(path, 'timestamp,value\n2013-12-02 21:15:00,73.5\n2013-12-02,74\n')
    const bad = await sim(['replay', path, '--mqtt', url, '--times', 'keep', '--speed', 'max'])
    expect(bad.code).toBe(1)
    expect(bad.err).toContain(`${path}:3: "2013-12-02" is not a time`)
  })
})
