/**
 * A serial port as a source: open it, read lines, answer them, and come back when it vanishes.
 *
 * Whatever is wrong with a port (not there, no permission, another program has it, settings that its driver refuses) never fails the
 * agent: it waits, and is tried again (supervisor.ts). A cable that is plugged in later is found later.
 *
 * Bounded: the length of a line, `maxUncommitted` lines that wait for their commit (reading stops above it), `maxUnwritten` bytes
 * of acknowledgements that the port has not taken (later ones are dropped: the device sends its line again).
 */

import { messageOf } from '@tributary/shared/errors'
import type { Backoff } from '@tributary/shared/retry'
import type { Logger } from 'pino'
import { SerialPort } from 'serialport'
import type { Buffer as ReadingBuffer } from '../../buffer/buffer.ts'
import type { SerialConfig } from '../../config/agent-config.ts'
import type { Decoder } from '../../decode/decoder.ts'
import type { Stamp } from '../../time/agent-clock.ts'
import type { Accept, Source, SourceStatus } from '../source.ts'
import { Supervisor } from '../supervisor.ts'
import { acknowledged, acknowledgement } from './framing/acknowledged.ts'
import type { Framing } from './framing/framing.ts'
import { lines } from './framing/lines.ts'
import { LineIntake } from './line-intake.ts'
import { type Line, LineSplitter } from './line-splitter.ts'
import { RecentLines } from './recent-lines.ts'

const framings: Readonly<Record<SerialConfig['framing'], Framing>> = { lines, acknowledged }
const maxUncommitted = 1000
const maxUnwritten = 64 * 1024
/** How often an open port is asked whether its line still exists. */
const watchMs = 1000
/** Looking for a device costs next to nothing, and whoever has plugged it in stands beside it and waits. */
const defaultRetry: Backoff = { baseMs: 250, capMs: 2000 }

export interface SerialSourceOptions {
  readonly config: SerialConfig
  readonly accept: Accept
  readonly buffer: Pick<ReadingBuffer, 'receipts'>
  readonly decoder: Decoder
  readonly log: Logger
  readonly sabotage: { readonly ackBeforeCommit: boolean; readonly noDuplicateCheck: boolean }
  /** Wall clock, whole microseconds. */
  readonly stamp: () => Stamp
  readonly retry?: Backoff
}

export interface SerialStats {
  readonly damaged: number
  readonly dropped: number
  /** Times that the port was opened. */
  readonly opened: number
}

export class SerialSource implements Source {
  readonly name: string
  readonly #options: SerialSourceOptions
  readonly #intake: LineIntake
  readonly #supervisor: Supervisor
  #port: SerialPort | null = null
  #opened = 0

  constructor(options: SerialSourceOptions) {
    const { config, accept, buffer, decoder, sabotage } = options
    this.name = `serial:${config.name}`
    this.#options = options
    this.#intake = new LineIntake({
      source: this.name,
      path: config.path,
      device: config.device,
      maxLineBytes: config.maxLine,
      framing: framings[config.framing],
      recent: new RecentLines(buffer.receipts().filter(({ scope }) => scope === this.name)),
      accept,
      decoder,
      stamp: options.stamp,
      acknowledge: n => this.#acknowledge(n),
      sabotage,
    })
    this.#supervisor = new Supervisor({
      live: running => this.#live(running),
      where: config.path,
      retry: options.retry ?? defaultRetry,
      log: options.log,
    })
  }

  /** A cable that is plugged in later is found later. */
  async start(): Promise<void> {
    void this.#supervisor.start()
  }

  async stop(): Promise<void> {
    const stopped = this.#supervisor.stop()
    this.#port?.close()
    await stopped
  }

  status(): SourceStatus {
    const { messages, deadLettered, duplicates } = this.#intake
    return { ...this.#supervisor.status(), messages, deadLettered, duplicates }
  }

  stats(): SerialStats {
    return { damaged: this.#intake.damaged, dropped: this.#intake.dropped, opened: this.#opened }
  }

  /** Opening and reading, until the port is gone. */
  async #live(running: (detail: string) => void): Promise<void> {
    const { config, log } = this.#options
    const port = await openPort(config)
    this.#opened++
    log.info({ port: config.path }, 'serial port open')
    running(config.path)
    await this.#read(port)
    throw new Error('the port was closed')
  }

  /** Resolves when the port closes; throws what goes wrong with a line, with the port closed. */
  async #read(port: SerialPort): Promise<void> {
    const { config } = this.#options
    const { promise, resolve } = Promise.withResolvers<void>()
    let failure: unknown = null
    this.#port = port
    const splitter = new LineSplitter(config.maxLine)
    splitter.on('data', (line: Line) => {
      try {
        this.#intake.take(line, () => splitter.isPaused() && splitter.resume())
      } catch (error) {
        failure ??= error
        if (port.isOpen) port.close()
      }
      if (this.#intake.uncommitted >= maxUncommitted) splitter.pause()
    })
    port.on('close', () => resolve())
    port.on('error', error => {
      this.#options.log.debug({ port: config.path, error: messageOf(error) }, 'serial port error')
      if (port.isOpen) port.close()
      else resolve()
    })
    port.pipe(splitter)
    if (this.#supervisor.signal.aborted) port.close()
    const watch = setInterval(() => closeWhenHungUp(port), watchMs)
    await promise
    clearInterval(watch)
    port.unpipe(splitter)
    splitter.destroy()
    this.#port = null
    if (failure !== null) throw failure
  }

  #acknowledge(n: number): void {
    const port = this.#port
    if (port?.isOpen && port.writableLength < maxUnwritten) port.write(acknowledgement(n))
  }
}

/**
 * A line that hangs up while a read is under way ends that read with 0 bytes, and the port reads again without end, silently. Asking
 * for the modem bits tells: they fail with EIO on a hung-up line, and with ENOTTY on a healthy one that has none.
 */
function closeWhenHungUp(port: SerialPort): void {
  port.get(error => {
    if (error !== null && /input\/output error|no such device/i.test(error.message) && port.isOpen) port.close()
  })
}

function openPort({ path, baudRate, dataBits, parity, stopBits }: SerialConfig): Promise<SerialPort> {
  const { promise, resolve, reject } = Promise.withResolvers<SerialPort>()
  const port = new SerialPort({
    path,
    baudRate,
    dataBits: dataBits as 5 | 6 | 7 | 8,
    parity,
    stopBits: stopBits as 1 | 2,
    autoOpen: false,
  })
  port.open(error => (error === null ? resolve(port) : reject(error)))
  return promise
}
