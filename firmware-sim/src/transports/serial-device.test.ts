import { Duplex } from 'node:stream'
import { crc32 } from 'node:zlib'
import { SerialPort } from 'serialport'
import { afterEach, describe, expect, it } from 'vitest'
import { openPtyPair } from './pty.ts'
import { SerialDevice, type SerialDeviceOptions } from './serial-device.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A line whose far end is a function: it sees what the device writes, and answers with what it returns. */
function line(answer: (line: string) => string | undefined): { port: Duplex; written: string[] } {
  const written: string[] = []
  let rest = ''
  const port: Duplex = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop()!
      for (const text of lines) {
        written.push(text)
        const reply = answer(text)
        if (reply !== undefined) port.push(reply)
      }
      done()
    },
  })
  cleanups.push(async () => port.destroy())
  return { port, written }
}

async function device(options: SerialDeviceOptions): Promise<SerialDevice> {
  const created = new SerialDevice(options)
  cleanups.push(() => created.stop(0))
  await created.start()
  return created
}

const send = (to: SerialDevice, text: string) => to.send({ payload: Buffer.from(text) })
const ack = (text: string) => `ACK ${text.split(' ')[0]}\n`

describe('a device on an acknowledging line', () => {
  it('writes a frame again, the same number and bytes, until it is acknowledged', async () => {
    let ignored = 3
    const { port, written } = line(text => (ignored-- > 0 ? undefined : ack(text)))
    const d = await device({ port, framing: 'acknowledged', resendMs: 5 })
    await send(d, '{"a":1}')
    expect(written).toHaveLength(4)
    expect(new Set(written).size).toBe(1)
    expect(written[0]).toMatch(/^1 \{"a":1\} \*[0-9a-f]{8}$/)
    expect(d.counters()).toEqual({ sent: 1, acknowledged: 1, resent: 3, unacknowledged: 0 })
  })

  it('keeps one frame under way at a time, in the order given', async () => {
    let open = 0
    let most = 0
    const { port, written } = line(text => {
      most = Math.max(most, ++open)
      setImmediate(() => {
        open--
        port.push(ack(text))
      })
      return undefined
    })
    const d = await device({ port, framing: 'acknowledged' })
    await Promise.all(Array.from({ length: 20 }, (_, i) => send(d, `{"i":${i}}`)))
    expect(most).toBe(1)
    expect(written.map(w => w.split(' ')[1])).toEqual(Array.from({ length: 20 }, (_, i) => `{"i":${i}}`))
  })

  it('with a window has as many under way, and repeats only the one that was lost', async () => {
    let lost = false
    const { port, written } = line(text => {
      if (!text.startsWith('2 ') || lost) return ack(text)
      lost = true
      return undefined
    })
    const d = await device({ port, framing: 'acknowledged', window: 4, resendMs: 5 })
    await Promise.all(Array.from({ length: 6 }, (_, i) => send(d, String(i))))
    expect(written.map(w => w.split(' ')[0]).sort()).toEqual(['1', '2', '2', '3', '4', '5', '6'])
  })

  it('sends nothing that would push a frame out of the memory of the agent before it is acknowledged', async () => {
    let ignoring = true
    const { port, written } = line(text => (text.startsWith('1 ') && ignoring ? undefined : ack(text)))
    const d = await device({ port, framing: 'acknowledged', window: 4, resendMs: 5 })
    const first = send(d, '{}')
    for (let n = 2; n <= 64; n++) await send(d, '{}')
    const next = send(d, '{}')
    while (written.filter(text => text.startsWith('1 ')).length < 5) await new Promise(setImmediate)
    expect(written.some(text => text.startsWith('65 '))).toBe(false)
    ignoring = false
    await Promise.all([first, next])
    expect(written.at(-1)).toMatch(/^65 /)
  })

  it('refuses a window of 0 or of more frames than an agent remembers', () => {
    const { port } = line(ack)
    const open = (window: number) => new SerialDevice({ port, framing: 'acknowledged', window })
    for (const window of [0, 65, 1.5]) expect(() => open(window)).toThrow(/1 to 64/)
    expect(() => open(64)).not.toThrow()
  })

  it('ignores acknowledgements of nothing', async () => {
    const { port } = line(text => `ACK 99\nNAK\n${ack(text)}`)
    const d = await device({ port, framing: 'acknowledged' })
    await send(d, 'x')
    expect(d.counters()).toMatchObject({ acknowledged: 1 })
  })

  it('rejects and counts what is unacknowledged when it is stopped', async () => {
    const { port } = line(() => undefined)
    const d = await device({ port, framing: 'acknowledged' })
    const sent = send(d, 'x')
    const waiting = send(d, 'y')
    const refused = expect(Promise.all([waiting])).rejects.toMatchObject({ code: 'aborted' })
    const rejected = expect(sent).rejects.toMatchObject({ code: 'aborted' })
    await d.stop(1)
    await rejected
    await refused
    expect(d.counters()).toEqual({ sent: 1, acknowledged: 0, resent: 0, unacknowledged: 1 })
  })

  it('refuses to send when the line is gone', async () => {
    const { port } = line(ack)
    const d = await device({ port, framing: 'acknowledged' })
    port.destroy()
    await new Promise(resolve => port.once('close', resolve))
    await expect(send(d, 'x')).rejects.toMatchObject({ code: 'aborted' })
    await expect(d.room()).rejects.toMatchObject({ code: 'aborted' })
  })
})

describe('a device on a pty, read by a real serial port', () => {
  it('every frame arrives whole and is acknowledged, at the pace of the baud rate', async () => {
    const { path, master, close } = await openPtyPair()
    cleanups.push(close)
    const port = new SerialPort({ path, baudRate: 115_200, autoOpen: false })
    await new Promise<void>((resolve, reject) => port.open(error => (error ? reject(error) : resolve())))
    cleanups.push(() => new Promise(resolve => port.close(resolve)))
    const heard: string[] = []
    let rest = ''
    port.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop()!
      for (const text of lines) {
        const [, body, crc] = /^(.*) \*([0-9a-f]{8})$/.exec(text) ?? []
        if (body === undefined || crc32(body) !== Number.parseInt(crc!, 16)) continue
        heard.push(body)
        port.write(ack(text))
      }
    })
    const d = await device({ port: master, framing: 'acknowledged', baudRate: 115_200, window: 8 })
    await Promise.all(Array.from({ length: 100 }, (_, i) => send(d, `{"device":"m","ts":${i},"t":20.5}`)))
    expect(heard).toEqual(Array.from({ length: 100 }, (_, i) => `${i + 1} {"device":"m","ts":${i},"t":20.5}`))
    expect(d.counters()).toEqual({ sent: 100, acknowledged: 100, resent: 0, unacknowledged: 0 })
  })
})

describe('a device on a plain line', () => {
  it('sends lines and counts nothing as acknowledged', async () => {
    const { port, written } = line(() => undefined)
    const d = await device({ port, framing: 'lines' })
    await Promise.all(['a', 'b', 'c'].map(text => send(d, text)))
    expect(written).toEqual(['a', 'b', 'c'])
    expect(d.acknowledges).toBe(false)
    expect(d.counters()).toEqual({ sent: 3, acknowledged: 0, resent: 0, unacknowledged: 0 })
  })

  it('can be stopped while nobody takes its bytes', async () => {
    const port = new Duplex({ read: () => undefined, write: () => undefined })
    cleanups.push(async () => port.destroy())
    const d = await device({ port, framing: 'lines' })
    const stuck = expect(send(d, 'x')).rejects.toMatchObject({ code: 'aborted' })
    await d.stop(1)
    await stuck
  })
})
