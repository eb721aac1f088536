/**
 * A thin line between agent and hub: a TCP proxy whose way up has so many bytes a second for all connections together, first come,
 * first served, as a modem with one queue has. It can be cut and mended, and counts what passes up.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { JoinedSockets } from './joined-sockets.ts'

/** Saved up while nothing passes, s. */
const burstS = 0.02
/** A socket is read on while fewer bytes than this of it wait. */
const queuedBytes = 64 * 1024

export class ThrottledProxy {
  /** Null for no bound. */
  bytesPerS: number | null
  /** Bytes that have passed up. */
  bytesUp = 0
  readonly #hubPort: number
  readonly #server: Server
  readonly #sockets = new JoinedSockets()
  #severed = true
  #line: Promise<void> = Promise.resolve()
  /** When the line is free again, ms. */
  #freeAtMs = 0

  /** Begins severed. */
  constructor(hubPort: number, bytesPerS: number | null) {
    this.#hubPort = hubPort
    this.bytesPerS = bytesPerS
    this.#server = createServer(socket => this.#forward(socket))
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as { port: number }).port
  }

  sever(): void {
    this.#severed = true
    this.#sockets.cut()
  }

  mend(): void {
    this.#severed = false
  }

  close(): void {
    this.sever()
    this.#server.close()
  }

  #forward(agent: Socket): void {
    if (this.#severed) {
      agent.destroy()
      return
    }
    const hub = this.#sockets.join(agent, this.#hubPort)
    hub.pipe(agent)
    let waiting = 0
    agent.on('data', (chunk: Buffer) => {
      waiting += chunk.length
      if (waiting >= queuedBytes) agent.pause()
      this.#line = this.#line.then(async () => {
        await this.#pass(chunk.length)
        waiting -= chunk.length
        if (waiting < queuedBytes) agent.resume()
        hub.write(chunk)
      })
    })
  }

  async #pass(bytes: number): Promise<void> {
    this.bytesUp += bytes
    if (this.bytesPerS === null) return
    const nowMs = performance.now()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - burstS * 1000) + (bytes * 1000) / this.bytesPerS
    if (this.#freeAtMs > nowMs) await sleep(this.#freeAtMs - nowMs)
  }
}
