/**
 * A serial port as a source: open it, read lines, answer them, and come back when it vanishes.
 *
 * Modes: `waiting` (the port does not exist or was lost; tried again with full-jitter backoff up to `retry.capMs`) ⇄ `running`
 * → `stopped`. Opening never fails the agent: a cable that is plugged in later is found later.
 *
 * Bounded: the length of a line, `maxUncommitted` lines that wait for their commit (reading stops above it), `maxUnwritten` bytes
 * of acknowledgements that the port has not taken (later ones are dropped: the device sends its line again).
 */

import { messageOf } from '@tributary/shared/errors'
import { type Backoff, fullJitterMs, pause } from '@tributary/shared/retry'
import type { Logger } from 'pino'
import { SerialPort } from 'serialport'
import type { Buffer as ReadingBuffer } from '../../buffer/buffer.ts'
import type { SerialConfig } from '../../config/agent-config.ts'
import type { Decoder } from '../../decode/decoder.ts'
import type { Stamp } from '../../time/agent-clock.ts'
import type { Accept, Source, SourceStatus } from '../source.ts'
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
  readonly #stopping = new AbortController()
  #port: SerialPort | null = null
  #state: SourceStatus['state'] = 'stopped'
  #detail: string
  #opened = 0
  #loop: Promise<void> = Promise.resolve()

  constructor(options: SerialSourceOptions) {
    const { config, accept, buffer, decoder, sabotage } = options
    this.name = `serial:${config.name}`
    this.#options = options
    this.#detail = config.path
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
  }

  async start(): Promise<void> {
    this.#state = 'starting'
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#port?.close()
    await this.#loop
    this.#state = 'stopped'
  }

  status(): SourceStatus {
    const { messages, deadLettered, duplicates } = this.#intake
    return { state: this.#state, detail: this.#detail, messages, deadLettered, duplicates }
  }

  stats(): SerialStats {
    return { damaged: this.#intake.damaged, dropped: this.#intake.dropped, opened: this.#opened }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const { config, log, retry = defaultRetry } = this.#options
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const port = await openPort(config)
        this.#opened++
        attempt = 0
        log.info({ port: config.path }, 'serial port open')
        await this.#read(port)
        throw new Error('the port was closed')
      } catch (error) {
        if (signal.aborted) return
        this.#state = 'waiting'
        this.#detail = `${config.path}: ${messageOf(error)}`
        if (attempt === 0)
          log.warn({ port: config.path, error: messageOf(error) }, 'serial port not available; trying on')
        await pause(fullJitterMs(retry, attempt), signal).catch(() => undefined)
      }
    }
  }

  /** Resolves when the port closes. */
  async #read(port: SerialPort): Promise<void> {
    const { config } = this.#options
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#port = port
    this.#state = 'running'
    this.#detail = config.path
    const splitter = new LineSplitter(config.maxLine)
    splitter.on('data', (line: Line) => {
      this.#intake.take(line, () => splitter.isPaused() && splitter.resume())
      if (this.#intake.uncommitted >= maxUncommitted) splitter.pause()
    })
    port.on('close', () => resolve())
    port.on('error', error => {
      this.#options.log.debug({ port: config.path, error: messageOf(error) }, 'serial port error')
      if (port.isOpen) port.close()
      else resolve()
    })
    port.pipe(splitter)
    if (this.#stopping.signal.aborted) port.close()
    const watch = setInterval(() => closeWhenHungUp(port), watchMs)
    await promise
    clearInterval(watch)
    port.unpipe(splitter)
    splitter.destroy()
    this.#port = null
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
