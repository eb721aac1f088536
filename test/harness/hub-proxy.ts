/**
 * A TCP proxy between agent and hub that can be watched and cut: it tells when an answer passes, and can swallow
 * answers, so that a hub may be killed in the very moment in which it has stored what the agent will never hear of.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { JoinedSockets } from './joined-sockets.ts'

export class HubProxy {
  readonly hubPort: number
  /** While true, answers are dropped. */
  swallow = false
  #onAnswer: (() => void) | null = null
  #severed = false
  readonly #server: Server
  readonly #sockets = new JoinedSockets()

  constructor(hubPort: number) {
    this.hubPort = hubPort
    this.#server = createServer(socket => this.#forward(socket))
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as { port: number }).port
  }

  /** Calls back when the next answer passes, before it does: a `swallow` set then holds for it. */
  onceAnswered(listener: () => void): void {
    this.#onAnswer = listener
  }

  /** The network is gone: what is open is cut, what comes is refused, until `mend`. */
  sever(): void {
    this.#severed = true
    this.cut()
  }

  mend(): void {
    this.#severed = false
  }

  /** Cuts every connection now open. */
  cut(): void {
    this.#sockets.cut()
  }

  close(): void {
    this.cut()
    this.#server.close()
  }

  #forward(agent: Socket): void {
    if (this.#severed) {
      agent.destroy()
      return
    }
    const hub = this.#sockets.join(agent, this.hubPort)
    agent.on('data', chunk => hub.write(chunk))
    hub.on('data', chunk => {
      const onAnswer = this.#onAnswer
      this.#onAnswer = null
      onAnswer?.()
      if (!this.swallow) agent.write(chunk)
    })
  }
}
