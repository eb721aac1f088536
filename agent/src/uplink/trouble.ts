/**
 * Why batches do not leave, for people: the log says what is new once, the same trouble again only counts; the status says what there
 * is now, and what was last.
 */
import { isTributaryError, messageOf } from '@tributary/shared/errors'
import type { Outgoing } from './outbox.ts'
import type { UplinkLog } from './uplink-log.ts'
import type { UplinkStatus } from './uplink-status.ts'
import type { Setback } from './verdict.ts'

export class Trouble {
  readonly #log: UplinkLog
  readonly #nowMs: () => number
  /** Why the hub takes nothing now; null when it does. */
  #hub: Setback | null = null
  #buffer: Setback | null = null
  #last: UplinkStatus['lastError'] = null

  /** `nowMs` is the time that people see. */
  constructor(log: UplinkLog, nowMs: () => number) {
    this.#log = log
    this.#nowMs = nowMs
  }

  get last(): UplinkStatus['lastError'] {
    return this.#last
  }

  get now(): Setback | null {
    return this.#buffer ?? this.#hub
  }

  get isRefused(): boolean {
    return this.#hub?.kind === 'refused'
  }

  /** The hub takes nothing. */
  hub(setback: Setback): void {
    const { kind, code, detail } = setback
    const isNew = this.#hub?.kind !== kind || this.#hub.code !== code
    this.#remember(setback)
    this.#hub = setback
    if (!isNew) return
    if (kind === 'refused') this.#log.error({ code }, `the hub refuses this agent; readings are kept: ${detail}`)
    else this.#log.warn({ code }, `cannot send to the hub for now; readings are kept: ${detail}`)
  }

  /** The hub refuses one batch, and takes others. */
  held(setback: Setback, { batch, refusals }: Outgoing): void {
    this.#remember(setback)
    if (refusals > 0) return
    const { code, detail } = setback
    const fields = { epoch: batch.epoch, seq: batch.seq, readings: batch.readings, code, tries: 1 }
    this.#log.error(fields, `the hub refuses a batch; it is kept and tried again: ${detail}`)
  }

  /** Whether the hub had been away until it answered now. */
  hubAnswers(origin: string | undefined): boolean {
    if (this.#hub === null) return false
    this.#hub = null
    this.#log.info({ hub: origin }, 'the hub takes batches again')
    return true
  }

  buffer(error: unknown): void {
    const setback = setbackOf(error)
    if (this.#buffer?.code !== setback.code)
      this.#log.error({ code: setback.code }, `the buffer fails the uplink: ${setback.detail}`)
    this.#buffer = setback
    this.#remember(setback)
  }

  bufferWorks(): void {
    this.#buffer = null
  }

  #remember({ code, detail }: Setback): void {
    this.#last = { atMs: this.#nowMs(), code, detail }
  }
}

/** What failed on the way, to be tried again. */
export function setbackOf(error: unknown): Setback {
  const code = isTributaryError(error) ? error.code : 'internal'
  return { kind: 'later', code, detail: messageOf(error), retryAfterS: null }
}
