/**
 * The hub's event stream, kept open: one connection a page, opened again with full-jitter backoff when it breaks.
 *
 *   idle ──watch──► connecting ──open──► open ──breaks──► waiting ──time, or `retry`──► connecting
 *
 * A connection may be dead without anybody having closed it: the hub sends something every 5 s, and silence breaks it too.
 * Whoever listens hears `opened` after each (re)connection and then loads what it shows once more: what came in between is not
 * told again.
 *
 * @import { Connection } from './types.d.ts'
 */

const firstDelayMs = 500
const longestDelayMs = 15_000
/** Three beats. */
const longestSilenceMs = 15_000
const eventNames = ['overview', 'agents', 'points', 'refresh', 'anomaly']

export class EventFeed {
  /** @type {EventSource | null} */
  #source = null
  #ids = ''
  #failures = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence
  #handlers

  /**
   * @param {{
   *   onEvent: (name: string, document: any) => void,
   *   onConnection: (connection: Connection) => void,
   *   onOpened: () => void,
   *   whyBroken: () => Promise<string | null>,
   * }} handlers `whyBroken` says why the stream ended, or null when there is no use in trying again
   */
  constructor(handlers) {
    this.#handlers = handlers
  }

  /**
   * Open it, or open it anew for other series.
   * @param {readonly number[]} ids
   */
  watch(ids) {
    const wanted = ids.join(',')
    if (this.#source !== null && wanted === this.#ids) return
    this.#ids = wanted
    this.#connect()
  }

  /** Do not wait any longer. */
  retry() {
    this.#failures = 0
    this.#connect()
  }

  close() {
    this.#disconnect()
    this.#handlers.onConnection({ mode: 'idle' })
  }

  #disconnect() {
    clearTimeout(this.#timer)
    clearTimeout(this.#silence)
    this.#source?.close()
    this.#source = null
  }

  #connect() {
    this.#disconnect()
    this.#handlers.onConnection({ mode: 'connecting' })
    const source = new EventSource(`/v1/stream?series=${this.#ids}`)
    this.#source = source
    const heard = () => {
      if (source !== this.#source) return
      clearTimeout(this.#silence)
      this.#silence = setTimeout(() => this.#broken(source), longestSilenceMs)
    }
    heard()
    source.addEventListener('beat', heard)
    source.addEventListener('open', () => {
      heard()
      this.#failures = 0
      this.#handlers.onConnection({ mode: 'open' })
      this.#handlers.onOpened()
    })
    source.addEventListener('error', () => this.#broken(source))
    for (const name of eventNames) {
      source.addEventListener(name, event => this.#handlers.onEvent(name, JSON.parse(event.data)))
    }
  }

  /** @param {EventSource} source */
  async #broken(source) {
    if (source !== this.#source) return
    this.#disconnect()
    const reason = await this.#handlers.whyBroken()
    if (reason === null || this.#source !== null) return
    const ceilingMs = Math.min(longestDelayMs, firstDelayMs * 2 ** this.#failures)
    this.#failures += 1
    const delayMs = firstDelayMs / 2 + Math.random() * ceilingMs
    this.#handlers.onConnection({ mode: 'waiting', retryAtMs: Date.now() + delayMs, reason })
    this.#timer = setTimeout(() => this.#connect(), delayMs)
  }
}
