/**
 * A device on a serial line: writes lines, and with the acknowledged framing writes a frame again, the same n and bytes, every
 * `resendMs` until its `ACK n` comes.
 *
 * Frames leave in the order of `send`; at most `window` of them wait for their acknowledgement (1: strictly one after another,
 * so that no later frame can overtake one that noise destroyed). None leaves 64 or more after one that still waits: an agent
 * recognises a repeated frame among the last 64 only. A baud rate slows the writing to 10 bits a byte, as 8N1 does.
 * Plain lines carry no acknowledgement: `send` resolves when the bytes are in the line.
 */
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { TributaryError } from '@tributary/shared/errors'
import { createAckReader, encodeFrame, encodeLine, maxFrameNumber, type SerialFraming } from './serial-framing.ts'
import { Slots } from './slots.ts'
import type { Counters, Message, Transport } from './transport.ts'

export interface SerialDeviceOptions {
  /** The device's end of the line. */
  readonly port: Duplex
  readonly framing: SerialFraming
  /** Frames that may wait for their acknowledgement: 1 to 64, as many as an agent remembers; default 1. */
  readonly window?: number
  /** Default 1000. */
  readonly resendMs?: number
  /** 8N1; default: as fast as the line takes bytes. */
  readonly baudRate?: number
  /** What the line is called in messages. */
  readonly name?: string
  readonly onResent?: (n: number) => void
}

/** An agent recognises a repeated frame among this many. */
const maxWindow = 64

interface Frame {
  readonly n: number
  /** How many frames came before it. */
  readonly index: number
  /** Resolves when it is acknowledged or given up. */
  readonly settled: Promise<void>
  readonly bytes: Buffer
  timer?: NodeJS.Timeout
  resolve(): void
  reject(error: TributaryError): void
}

export class SerialDevice implements Transport {
  readonly name: string
  readonly acknowledges: boolean
  readonly #options: SerialDeviceOptions
  readonly #slots: Slots
  readonly #waiting = new Map<number, Frame>()
  /** Aborted, with the error, when the line is gone or the device is stopped. */
  readonly #gone = new AbortController()
  #writing: Promise<unknown> = Promise.resolve()
  #lastN = 0
  #frames = 0
  #sent = 0
  #acknowledged = 0
  #resent = 0
  #abandoned = 0

  constructor(options: SerialDeviceOptions) {
    const { window = 1, framing, name = 'serial' } = options
    if (!(Number.isInteger(window) && window >= 1 && window <= maxWindow))
      throw new TributaryError('config', `the window must be 1 to ${maxWindow} frames, not ${window}`)
    this.#options = options
    this.acknowledges = framing === 'acknowledged'
    this.name = `${name} ${framing}`
    this.#slots = new Slots(window)
  }

  async start(): Promise<void> {
    const { port } = this.#options
    port.on(
      'data',
      createAckReader(n => this.#waiting.get(n)?.resolve()),
    )
    port.on('error', cause =>
      this.#fail(new TributaryError('unavailable', `${this.name}: ${cause.message}`, { cause })),
    )
    port.on('close', () => this.#fail(new TributaryError('aborted', `${this.name} was closed`)))
  }

  room(): Promise<void> {
    return this.#slots.room()
  }

  async send({ payload }: Pick<Message, 'payload'>): Promise<void> {
    await this.#slots.take()
    this.#sent++
    try {
      if (this.#options.framing === 'acknowledged') await this.#sendFrame(payload)
      else if (!(await this.#write(encodeLine(payload)))) throw this.#gone.signal.reason
    } finally {
      this.#slots.release()
    }
  }

  async stop(drainMs: number): Promise<void> {
    const error = new TributaryError('aborted', `${this.name} was stopped`)
    this.#slots.close(error)
    if (!this.#gone.signal.aborted) await this.#slots.idle(drainMs)
    this.#fail(error)
  }

  counters(): Counters {
    return {
      sent: this.#sent,
      acknowledged: this.#acknowledged,
      resent: this.#resent,
      unacknowledged: this.#waiting.size + this.#abandoned,
    }
  }

  async #sendFrame(payload: Uint8Array): Promise<void> {
    for (let oldest = this.#tooOld(); oldest !== undefined; oldest = this.#tooOld()) await oldest.settled
    if (this.#gone.signal.aborted) throw this.#gone.signal.reason
    const n = this.#lastN === maxFrameNumber ? 1 : this.#lastN + 1
    this.#lastN = n
    const acked = Promise.withResolvers<void>()
    const settled = acked.promise.catch(() => undefined)
    const { resolve, reject } = acked
    const frame: Frame = { n, index: this.#frames++, settled, bytes: encodeFrame(n, payload), resolve, reject }
    this.#waiting.set(n, frame)
    void this.#transmit(frame)
    try {
      await acked.promise
      this.#acknowledged++
    } catch (error) {
      this.#abandoned++
      throw error
    } finally {
      clearTimeout(frame.timer)
      this.#waiting.delete(n)
    }
  }

  /** The frame that waits for its acknowledgement and would be out of the agent's memory after one more. */
  #tooOld(): Frame | undefined {
    const [oldest] = this.#waiting.values()
    return oldest !== undefined && this.#frames - oldest.index >= maxWindow ? oldest : undefined
  }

  /** Write, and again whenever the acknowledgement has not come `resendMs` after the last byte. */
  async #transmit(frame: Frame): Promise<void> {
    if (!(await this.#write(frame.bytes)) || !this.#waiting.has(frame.n)) return
    frame.timer = setTimeout(() => {
      this.#resent++
      this.#options.onResent?.(frame.n)
      void this.#transmit(frame)
    }, this.#options.resendMs ?? 1000)
  }

  /** One after another; resolves true when the line has taken the bytes, false when the device was stopped before. */
  #write(bytes: Buffer): Promise<boolean> {
    const { signal } = this.#gone
    const result = this.#writing.then(async () => {
      if (signal.aborted) return false
      const { port, baudRate } = this.#options
      const written = Promise.withResolvers<boolean>()
      const stopped = () => written.resolve(false)
      signal.addEventListener('abort', stopped, { once: true })
      port.write(bytes, error => written.resolve(!error)) // the error itself arrives as the port's event
      if (baudRate !== undefined) await sleep((bytes.length * 10_000) / baudRate)
      const done = await written.promise
      signal.removeEventListener('abort', stopped)
      return done
    })
    this.#writing = result
    return result
  }

  #fail(error: TributaryError): void {
    if (this.#gone.signal.aborted) return
    this.#gone.abort(error)
    this.#slots.close(error)
    for (const frame of this.#waiting.values()) frame.reject(error)
  }
}
