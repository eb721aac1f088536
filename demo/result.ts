/** What a demo found, and when that is good enough. */

export interface DemoResult {
  /** From the start of the program to the first publish. */
  readonly startupMs: number
  /** Readings, as all counts here. */
  readonly sent: number
  readonly acked: number
  readonly stored: number
  /** Acknowledged and not stored when the drain ended. */
  readonly lost: number
  /** Stored more often than sent. */
  readonly duplicated: number
  /** Null where no pseudo-terminal can be opened. */
  readonly serial: { readonly sent: number; readonly stored: number } | null
  /** Alerts of all series, those of series that are still learning (their first day) included; these do not count below. */
  readonly anomalies: number
  /** Known failures of the machine in the recording. */
  readonly labelledWindows: number
  /** Of them, those with an alert whose event time lies inside. */
  readonly labelledFound: number
  /** Alerts whose event time lies in no known failure. */
  readonly falseAlarms: number
  /** Bytes of batches received by the hub, repeats included, for each reading. */
  readonly bytesPerReading: number | null
  /** From the moment in which a reading is taken until SQL finds it. */
  readonly latencyMs: {
    readonly p50: number | null
    readonly p99: number | null
    readonly p99WithoutCut: number | null
  }
}

const mustFind = 3
const mayRaise = 20

/** Why the demo failed; empty when it did not. `complete`: nobody stopped it before the recording was through. */
export function failures(result: DemoResult, complete: boolean): string[] {
  const { lost, duplicated, labelledFound, falseAlarms, sent } = result
  const found: string[] = []
  if (complete && sent === 0) found.push('nothing was sent')
  if (lost > 0) found.push(`${lost} acknowledged readings are not stored`)
  if (duplicated > 0) found.push(`${duplicated} readings are stored twice`)
  if (complete && labelledFound < mustFind)
    found.push(`${labelledFound} known failures found, at least ${mustFind} expected`)
  if (falseAlarms > mayRaise) found.push(`${falseAlarms} false alarms, at most ${mayRaise} expected`)
  return found
}

/** A few lines for people. */
export function describeResult(result: DemoResult): string[] {
  const { serial, latencyMs, bytesPerReading } = result
  const count = (n: number) => n.toLocaleString('en')
  const ms = (n: number | null) => (n === null ? '–' : `${count(Math.round(n))} ms`)
  return [
    '',
    `readings   sent ${count(result.sent)}, acknowledged ${count(result.acked)}, stored ${count(result.stored)}`,
    `           lost ${result.lost}, stored twice ${result.duplicated}`,
    `serial     ${serial === null ? 'left out: no pseudo-terminal' : `sent ${count(serial.sent)}, stored ${count(serial.stored)}`}`,
    `failures   ${result.labelledFound} of ${result.labelledWindows} known ones found, ${result.falseAlarms} false alarms`,
    `network    ${bytesPerReading === null ? '–' : bytesPerReading.toFixed(2)} bytes a reading`,
    `latency    p50 ${ms(latencyMs.p50)}, p99 ${ms(latencyMs.p99)}; p99 without the cut and the kill ${ms(latencyMs.p99WithoutCut)}`,
  ]
}
