/** The machine's known failures, moved along with its recording, and how the alerts fit them. */
import { readFileSync } from 'node:fs'
import { parseTimeUs } from '../firmware-sim/src/signals/recording.ts'

export interface KnownFailure {
  readonly fromUs: number
  /** Inclusive. */
  readonly toUs: number
}

/** `file`: a JSON list of [start, end]. `moveUs` is added to both. */
export function readKnownFailures(file: string, moveUs: number): KnownFailure[] {
  const windows = JSON.parse(readFileSync(file, 'utf8')) as [string, string][]
  return windows.map(([from, to]) => ({ fromUs: parseTimeUs(from)! + moveUs, toUs: parseTimeUs(to)! + moveUs }))
}

export interface Alert {
  readonly device: string
  readonly metric: string
  /** Event time at which it opened. */
  readonly openedUs: number
  /** Its series was not a day old: shown, and nobody is called for it. */
  readonly learning: boolean
}

/**
 * Alerts that somebody would be called for, against the known failures. `of` names the series that the failures belong to; an alert
 * of any other series is a false alarm.
 */
export function matchAlerts(
  alerts: readonly Alert[],
  failures: readonly KnownFailure[],
  of: { readonly device: string; readonly metric: string },
): { readonly found: number; readonly falseAlarms: number } {
  const found = new Set<KnownFailure>()
  let falseAlarms = 0
  for (const { device, metric, openedUs, learning } of alerts) {
    if (learning) continue
    const same = device === of.device && metric === of.metric
    const failure = same ? failures.find(({ fromUs, toUs }) => openedUs >= fromUs && openedUs <= toUs) : undefined
    if (failure === undefined) falseAlarms++
    else found.add(failure)
  }
  return { found: found.size, falseAlarms }
}
