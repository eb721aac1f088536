import { createHash } from 'node:crypto'
import { closeSync, constants, existsSync, openSync, readSync, writeSync } from 'node:fs'
import { SerialPort } from 'serialport'
import { afterEach, describe, expect, it } from 'vitest'
import { createRandom } from '../signals/random.ts'
import { openPtyPair, type PtyPair } from './pty.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function pair(): Promise<PtyPair> {
  const opened = await openPtyPair()
  cleanups.push(opened.close)
  return opened
}

async function open(path: string, baudRate = 115_200): Promise<SerialPort> {
  const port = new SerialPort({ path, baudRate, autoOpen: false })
  await new Promise<void>((resolve, reject) => port.open(error => (error ? reject(error) : resolve())))
  cleanups.push(() => closePort(port))
  return port
}

function closePort(port: SerialPort): Promise<void> {
  return new Promise(resolve => (port.isOpen ? port.close(() => resolve()) : resolve()))
}

/** Resolves with as many bytes as were asked for. */
function read(stream: NodeJS.ReadableStream, length: number): Promise<Buffer> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let got = 0
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      got += chunk.length
      if (got < length) return
      stream.removeListener('data', onData)
      resolve(Buffer.concat(chunks))
    }
    stream.on('data', onData)
  })
}

function randomBytes(length: number, seed: string): Buffer {
  const random = createRandom(seed)
  return Buffer.from(Array.from({ length }, () => random.integer(0, 255)))
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

describe('a pty pair behind a real serial port', () => {
  it('passes every byte unchanged, both ways at once', async () => {
    const { path, master } = await pair()
    const port = await open(path)
    const [down, up] = [randomBytes(200_000, 'down'), randomBytes(200_000, 'up')]
    const [heard, said] = [read(port, down.length), read(master, up.length)]
    master.write(down)
    port.write(up)
    expect(digest(await heard)).toBe(digest(down))
    expect(digest(await said)).toBe(digest(up))
  })

  it('passes bytes that mean something to a terminal', async () => {
    const { path, master } = await pair()
    const port = await open(path, 9600)
    const special = Buffer.from([0x03, 0x04, 0x0a, 0x0d, 0x11, 0x13, 0x15, 0x1a, 0x1c, 0x7f, 0xff, 0x00])
    const [heard, said] = [read(port, special.length), read(master, special.length)]
    master.write(special)
    port.write(special)
    expect([...(await heard)]).toEqual([...special])
    expect([...(await said)]).toEqual([...special])
  })

  it('echoes nothing back to the device before anybody has opened the port', async () => {
    const { path, master } = await pair()
    master.write('hello\n')
    const port = await open(path)
    port.write('reply\n')
    expect((await read(master, 6)).toString()).toBe('reply\n')
  })

  it('stays up while the reader goes and comes back', async () => {
    const { path, master } = await pair()
    for (let i = 0; i < 3; i++) {
      const port = await open(path)
      const heard = read(port, 5)
      master.write(`line${i}`)
      expect((await heard).toString()).toBe(`line${i}`)
      await closePort(port)
    }
    expect(master.destroyed).toBe(false)
  })

  it('hangs up when it is closed: the path is gone, reads end, writes fail', async () => {
    const { path, close } = await pair()
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
    try {
      expect(() => readSync(fd, Buffer.alloc(1))).toThrow(/EAGAIN/)
      await close()
      expect(existsSync(path)).toBe(false)
      expect(readSync(fd, Buffer.alloc(1))).toBe(0)
      expect(() => writeSync(fd, 'x')).toThrow(/EIO/)
    } finally {
      closeSync(fd)
    }
  })

  it('a serial port learns of the hang-up when it writes', async () => {
    const { path, close } = await pair()
    const port = await open(path)
    port.on('error', () => undefined).resume()
    const gone = new Promise(resolve => port.once('close', resolve))
    await close()
    port.write('x')
    await gone
    expect(port.isOpen).toBe(false)
  })

  it('can be closed while a full line holds a write up', async () => {
    const { path, master, close } = await pair()
    const written = new Promise(resolve => master.write(Buffer.alloc(1_000_000), resolve))
    await new Promise(setImmediate)
    await close()
    await written
    expect(path).toMatch(/^\/dev\//)
  })
})
