/** A span of time as people write it: `90s`, `15m`, `24h`, `7d`. */
import { UsageError } from '@tributary/shared/cli'

const unitS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** Seconds; throws with the option's name. */
export function parseSpanS(option: string, text: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text)
  if (match === null) throw new UsageError('unprocessable', `--${option}: ${text} is not a time such as 15m, 24h or 7d`)
  return Number(match[1]) * unitS[match[2] as keyof typeof unitS]
}
