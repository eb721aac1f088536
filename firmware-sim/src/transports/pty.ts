/**
 * A serial line without hardware: a pair of pseudo-terminals. Whoever opens `path` sees a serial port; `master` is the device at
 * the other end of the cable. Raw in both directions, every byte passes unchanged, as soon as the opener sets raw output as serial
 * port libraries do (until then a "\n" towards the device arrives as "\r\n").
 *
 * The pair stays alive while nobody has the port open, so a reader may come, go and come back; opening a serial port discards
 * what waited in it. `close` hangs the line up, as a USB adapter that is pulled: `path` is gone, a reader's reads give 0 bytes and
 * its writes EIO. (A serialport 13 caught in the middle of a read then reads on and on without an event, until something is
 * written.) Hanging up needs the last descriptor of the master: a child process inherits it when it is started while the pair is
 * open, and keeps the line up until it ends.
 * Linux and macOS; the terminal comes from node-pty's prebuilt binary.
 */
import { closeSync, write } from 'node:fs'
import { createRequire } from 'node:module'
import { Duplex } from 'node:stream'
import { ReadStream } from 'node:tty'
import { messageOf, TributaryError } from '@tributary/shared/errors'

export interface PtyPair {
  /** What the agent opens: `/dev/pts/3`. */
  readonly path: string
  /** The device's end: read what the agent wrote, write what the device says. */
  readonly master: Duplex
  close(): Promise<void>
}

interface PtyBinding {
  open(columns: number, rows: number): { readonly master: number; readonly slave: number; readonly pty: string }
}

/** How long to wait before writing again when the line's buffer (a few kB) is full. */
const fullBufferMs = 2

export async function openPtyPair(): Promise<PtyPair> {
  const opened = openTerminal()
  // Held open so that the master never sees the line hang up between two readers; never read.
  const slave = new ReadStream(opened.slave)
  closeSync(opened.slave) // the stream has opened the terminal again for itself
  slave.setRawMode(true)
  const reader = new ReadStream(opened.master)
  const master = createMaster(reader, opened.master)
  const closed = Promise.all([slave, reader].map(stream => new Promise(resolve => stream.once('close', resolve))))
  return {
    path: opened.pty,
    master,
    async close() {
      master.destroy()
      slave.destroy()
      await closed
    },
  }
}

function openTerminal(): ReturnType<PtyBinding['open']> {
  try {
    const { requireBinary } = createRequire(import.meta.url)('@lydell/node-pty/requireBinary.js') as {
      requireBinary(file: string): PtyBinding
    }
    return requireBinary('pty.node').open(80, 24)
  } catch (cause) {
    throw new TributaryError('not-supported', `cannot open a pseudo-terminal: ${messageOf(cause).split('\n')[0]}`, {
      cause,
      hint: 'Simulated serial lines need Linux or macOS, /dev/ptmx, and npm ci without --omit=optional.',
    })
  }
}

/**
 * Reads through the event loop. Writes go straight to the descriptor: libuv writes to a master blocking, and a line that nobody
 * reads would stop the whole process. The descriptor is closed only when no write is under way.
 */
function createMaster(reader: ReadStream, fd: number): Duplex {
  let writing = false
  const master = new Duplex({
    read: () => void reader.resume(),
    write(chunk: Buffer, _encoding, done) {
      writing = true
      writeAll(chunk, 0, error => {
        writing = false
        if (master.destroyed) reader.destroy()
        done(error)
      })
    },
    destroy(error, done) {
      if (!writing) reader.destroy()
      done(error)
    },
  })
  function writeAll(chunk: Buffer, from: number, done: (error?: Error | null) => void): void {
    if (master.destroyed) done()
    else
      write(fd, chunk, from, chunk.length - from, null, (error, written) => {
        if (error?.code === 'EAGAIN') setTimeout(writeAll, fullBufferMs, chunk, from, done)
        else if (error) done(error)
        else if (from + written < chunk.length) writeAll(chunk, from + written, done)
        else done()
      })
  }
  reader.on('data', chunk => void (master.push(chunk) || reader.pause()))
  reader.on('end', () => master.push(null))
  reader.on('error', error => master.destroy(error))
  reader.pause()
  return master
}
