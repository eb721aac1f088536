/**
 * Option texts to values. Everything that does not parse is refused with what it should look like.
 */
import { UsageError } from '@tributary/shared/cli'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { type FaultKind, type FaultRule, faultKinds } from '../faults/fault.ts'
import { parseTimeUs } from '../signals/recording.ts'

type Values = Readonly<Record<string, string | boolean | undefined>>

export function textOption(values: Values, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

export function numberOption(values: Values, name: string, min: number, max: number): number {
  const text = textOption(values, name) ?? ''
  const value = Number(text)
  if (text.trim() === '' || !(value >= min && value <= max))
    throw refused(name, text, `It is a number from ${min} to ${max}.`)
  return value
}

export function wholeOption(values: Values, name: string, min: number, max: number): number {
  const value = numberOption(values, name, min, max)
  if (!Number.isInteger(value)) throw refused(name, String(values[name]), `It is a whole number from ${min} to ${max}.`)
  return value
}

export function choiceOption<T extends string>(values: Values, name: string, choices: readonly T[]): T {
  const text = textOption(values, name) ?? ''
  const choice = choices.find(c => c === text)
  if (choice === undefined) throw refused(name, text, `It is one of: ${choices.join(', ')}.`)
  return choice
}

/** `40s`, `500ms`, `5m`, `2h` in milliseconds. */
export function durationOption(values: Values, name: string): number | undefined {
  const text = textOption(values, name)
  if (text === undefined) return undefined
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text)
  if (match === null) throw refused(name, text, 'It looks like 500ms, 40s, 5m or 2h.')
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as 'ms' | 's' | 'm' | 'h']
}

/** `max` is infinite. */
export function speedOption(values: Values): number {
  if (values.speed === 'max') return Number.POSITIVE_INFINITY
  const speed = Number(textOption(values, 'speed') || Number.NaN)
  if (!(speed > 0)) throw refused('speed', String(values.speed), 'It is a number above 0, or max.')
  return speed
}

/** Microseconds since 1970. */
export function timeOption(values: Values, name: string): number | undefined {
  const text = textOption(values, name)
  if (text === undefined) return undefined
  const tsUs = parseTimeUs(text)
  if (tsUs === null) throw refused(name, text, 'It looks like 2026-01-31T12:00:00Z.')
  return tsUs
}

/** `spike=0.01,dropout=0.001@machine-002`: kind, rate, and the beginning of the names of the devices that have it. */
export function faultsOption(values: Values): FaultRule[] {
  const text = textOption(values, 'faults')
  return text === undefined ? [] : text.split(',').map(parseFault)
}

function parseFault(text: string): FaultRule {
  const match = /^([a-z-]+)=([\d.eE-]+)(?:@(.+))?$/.exec(text.trim())
  const kind = faultKinds.find((k): k is FaultKind => k === match?.[1])
  const rate = Number(match?.[2] || Number.NaN)
  if (kind === undefined || !(rate >= 0 && rate <= 1))
    throw refused('faults', text, `Each is KIND=RATE or KIND=RATE@DEVICE, rate 0 to 1, kind ${faultKinds.join(', ')}.`)
  return { kind, rate, devicePrefix: match?.[3] ?? '' }
}

function refused(name: string, text: string, hint: string): UsageError {
  return new UsageError('unprocessable', `--${name} cannot be "${text}"`, { hint })
}

/** Runs a check whose failure is the fault of that option. */
export function checkOption<T>(name: string, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    const hint = cause instanceof TributaryError ? cause.hint : undefined
    throw new UsageError('unprocessable', `--${name}: ${messageOf(cause)}`, { cause, ...(hint && { hint }) })
  }
}
