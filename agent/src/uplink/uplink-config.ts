/** What can be set about the uplink, with defaults and bounds. A value out of its bounds is refused with `config`, not corrected. */
import { TributaryError } from '@tributary/shared/errors'
import type { Backoff } from '@tributary/shared/retry'

export interface UplinkConfig {
  /** Origin of the hub; null for the one that the agent was enrolled at. Default null. */
  readonly hub: string | null
  /** Allow plain http to another machine. Default false. */
  readonly insecure: boolean
  /** PEM file with the certificates that sign the hub's; replaces the built-in roots. Null for those. Default null. */
  readonly caFile: string | null
  /** Address of an HTTP proxy on the way to the hub, `none`, or null to go by HTTPS_PROXY and NO_PROXY. May hold a password. Default null. */
  readonly proxy: string | null
  /** Most readings in a batch; so many are sealed at once. 1 … 100,000, default 1000. */
  readonly maxReadings: number
  /** Fewer are sealed this long after the oldest of them was noticed, ms. 0 … 60,000, default 200. */
  readonly lingerMs: number
  /** Backlog batches in flight at once, however many credits the hub gives; one live batch may be beside them. 1 … 64, default 8. */
  readonly maxInFlight: number
  /** Below this estimated time to send everything, batches go one after another, in order, ms. Default 30,000. */
  readonly inOrderBelowMs: number
  /** Bytes a second that leave, of requests; null for no bound. At least 1000. Default null. */
  readonly maxBytesPerS: number | null
  /** Waits after a failure that may pass: network, 429, 5xx. Default 500 ms up to 60 s. */
  readonly backoff: Backoff
  /** About this long between tries while the hub refuses the agent itself (revoked, unknown, wrong address), ms. Default 60,000. */
  readonly refusedRetryMs: number
  /** Waits between tries of a batch that the hub refuses (400, 409, 413, 415, 422). Default 60 s up to 1 h. */
  readonly heldBackoff: Backoff
  /** So many refused batches are set aside; with more, nothing new is sent until one passes. 1 … 1000, default 16. */
  readonly maxHeld: number
  /** What the hub lost is sent again once its stored floor stayed low for so long, ms; a replica may be 1 s behind. Default 5000. */
  readonly settledFallMs: number
  /** Default 5000 ms. */
  readonly connectTimeoutMs: number
  /** For the answer's headers, and between parts of its body, ms; sending adds 1 ms a byte. Default 30,000. */
  readonly answerTimeoutMs: number
}

const hourMs = 3600_000

/** Fill in the defaults and check the bounds. */
export function uplinkConfig(given: Partial<UplinkConfig> = {}): UplinkConfig {
  const config: UplinkConfig = {
    hub: null,
    insecure: false,
    caFile: null,
    proxy: null,
    maxReadings: 1000,
    lingerMs: 200,
    maxInFlight: 8,
    inOrderBelowMs: 30_000,
    maxBytesPerS: null,
    backoff: { baseMs: 500, capMs: 60_000 },
    refusedRetryMs: 60_000,
    heldBackoff: { baseMs: 60_000, capMs: hourMs },
    maxHeld: 16,
    settledFallMs: 5000,
    connectTimeoutMs: 5000,
    answerTimeoutMs: 30_000,
    ...given,
  }
  within('maxReadings', config.maxReadings, 1, 100_000)
  within('lingerMs', config.lingerMs, 0, 60_000)
  within('maxInFlight', config.maxInFlight, 1, 64)
  within('inOrderBelowMs', config.inOrderBelowMs, 0, 24 * hourMs)
  if (config.maxBytesPerS !== null) within('maxBytesPerS', config.maxBytesPerS, 1000, 2 ** 40)
  within('backoff.baseMs', config.backoff.baseMs, 1, hourMs)
  within('backoff.capMs', config.backoff.capMs, config.backoff.baseMs, hourMs)
  within('refusedRetryMs', config.refusedRetryMs, 1, hourMs)
  within('heldBackoff.baseMs', config.heldBackoff.baseMs, 1, 24 * hourMs)
  within('heldBackoff.capMs', config.heldBackoff.capMs, config.heldBackoff.baseMs, 24 * hourMs)
  within('maxHeld', config.maxHeld, 1, 1000)
  within('settledFallMs', config.settledFallMs, 0, hourMs)
  within('connectTimeoutMs', config.connectTimeoutMs, 1, 10 * 60_000)
  within('answerTimeoutMs', config.answerTimeoutMs, 1, hourMs)
  return config
}

function within(name: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return
  throw new TributaryError('config', `hub.${name} is ${value}; it must be between ${low} and ${high}`)
}
