/**
 * A device on a serial line with the acknowledged framing: every line comes again until its `ACK`. The line is a pseudo-terminal that
 * stays while agents come and go.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openPtyPair, type PtyPair } from '../../firmware-sim/src/transports/pty.ts'
import { SerialDevice } from '../../firmware-sim/src/transports/serial-device.ts'
import { type DeliveryBook, makeReading } from './delivery-book.ts'

const inFlight = 16
const pauseMs = 20
const resendMs = 300
const stopTimeoutMs = 30_000

export interface SerialLoadOptions {
  readonly book: DeliveryBook
  /** Its lane in the book, and the device in its lines. */
  readonly name: string
}

export class SerialLoad {
  readonly #options: SerialLoadOptions
  readonly #pair: PtyPair
  readonly #device: SerialDevice
  readonly #loops: Promise<void>[]
  #stopping = false

  private constructor(options: SerialLoadOptions, pair: PtyPair) {
    this.#options = options
    this.#pair = pair
    this.#device = new SerialDevice({ port: pair.master, framing: 'acknowledged', window: inFlight, resendMs })
    void this.#device.start()
    this.#loops = Array.from({ length: inFlight }, (_, slot) => this.#send(slot))
    for (const loop of this.#loops) loop.catch(() => undefined) // the line was pulled or abandoned: nothing more is sent
  }

  static async open(options: SerialLoadOptions): Promise<SerialLoad> {
    return new SerialLoad(options, await openPtyPair())
  }

  /** What an agent opens. */
  get path(): string {
    return this.#pair.path
  }

  async #send(slot: number): Promise<void> {
    const { book, name } = this.#options
    for (let n = 0; !this.#stopping; n++) {
      const { key, tsUs, valueText } = makeReading(name, slot, n)
      const line = `{"device":"${name}","metric":"m${slot}","value":${valueText},"ts":${tsUs},"seq":${n}}`
      await book.deliver(name, [key], () => this.#device.send({ payload: Buffer.from(line) }))
      await sleep(pauseMs)
    }
  }

  /** No new lines; resolves when all are acknowledged, or after half a minute. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.race([Promise.all(this.#loops), sleep(stopTimeoutMs, undefined, { ref: false })])
  }

  /** Hang the line up: what is not acknowledged never will be. */
  async pull(): Promise<void> {
    this.#stopping = true
    await this.#device.stop(0)
    await this.#pair.close()
  }
}
