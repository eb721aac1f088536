/**
 * Keeps one source running: whatever ends it, it is started again, alone, after a full-jitter pause that grows while it fails. Nothing
 * that happens in it reaches another source or the agent.
 *
 * Modes: stopped → starting → running ⇄ waiting → … → stopped.
 */
import { messageOf } from '@tributary/shared/errors'
import { type Backoff, fullJitterMs, pause } from '@tributary/shared/retry'
import type { Logger } from 'pino'
import type { SourceStatus } from './source.ts'

export interface SupervisorOptions {
  /** One life of the source. Calls `running`, with what it listens on, once it hears; ends or throws when it no longer does. */
  readonly live: (running: (detail: string) => void, signal: AbortSignal) => Promise<void>
  /** Where it listens, for people. */
  readonly where: string
  readonly retry: Backoff
  readonly log: Logger
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #stopping = new AbortController()
  #state: SourceStatus['state'] = 'stopped'
  #detail: string
  #failures = 0
  #lastError: SourceStatus['lastError'] = null
  #loop: Promise<void> = Promise.resolve()

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#detail = options.where
  }

  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  /**
   * Resolves when it hears or waits for the next try. Throws what the first try ended with when `isFatal` says that no other one can
   * be better; it is stopped then.
   */
  start(isFatal: (error: unknown) => boolean = () => false): Promise<void> {
    const first = Promise.withResolvers<void>()
    this.#state = 'starting'
    this.#loop = this.#run(first, isFatal)
    return first.promise
  }

  /** Resolves when its life has ended, which whoever made it has to bring about. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
    this.#state = 'stopped'
  }

  status(): Pick<SourceStatus, 'state' | 'detail' | 'failures' | 'lastError'> {
    return { state: this.#state, detail: this.#detail, failures: this.#failures, lastError: this.#lastError }
  }

  async #run(first: PromiseWithResolvers<void>, isFatal: (error: unknown) => boolean): Promise<void> {
    const { retry } = this.#options
    const { signal } = this.#stopping
    for (let attempt = 0; !signal.aborted; attempt++) {
      const life = await this.#live(first)
      if (signal.aborted) break
      if (!life.heard && this.#failures === 0 && isFatal(life.error)) {
        this.#state = 'stopped'
        first.reject(life.error)
        return
      }
      // What lasted is a new trouble, not the old one again.
      if (life.heard && life.ms > retry.capMs) attempt = 0
      this.#failed(life.error, attempt === 0)
      first.resolve()
      await pause(fullJitterMs(retry, attempt), signal).catch(() => undefined)
    }
    first.resolve()
  }

  async #live(first: PromiseWithResolvers<void>): Promise<{ error: unknown; heard: boolean; ms: number }> {
    const beganMs = performance.now()
    let heard = false
    let error: unknown = new Error('it ended')
    try {
      await this.#options.live(detail => {
        heard = true
        this.#state = 'running'
        this.#detail = detail
        first.resolve()
      }, this.#stopping.signal)
    } catch (thrown) {
      error = thrown
    }
    return { error, heard, ms: performance.now() - beganMs }
  }

  /** Logged when it is new; the same trouble again only counts. */
  #failed(error: unknown, isNew: boolean): void {
    const { where, log } = this.#options
    const detail = messageOf(error)
    this.#failures++
    this.#lastError = { atMs: Date.now(), detail }
    this.#state = 'waiting'
    this.#detail = `${where}: ${detail}`
    if (isNew) log.warn({ where, error: detail }, 'a source does not hear its sensors; trying on')
  }
}
