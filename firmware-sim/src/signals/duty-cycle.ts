/**
 * When a machine runs and when it rests: alternating stretches of seeded length, asked at times that never go back.
 */
import type { Random } from './random.ts'

export interface DutyCycle {
  /** Mean length of a running stretch, seconds. */
  readonly runS: number
  /** Mean length of a rest, seconds. */
  readonly restS: number
}

export const defaultDutyCycle: DutyCycle = { runS: 600, restS: 180 }

/** Whether the machine runs at that time. Stretches last 0.5 to 1.5 times their mean; the first begins somewhere inside. */
export function createDutyCycle(cycle: DutyCycle, random: Random): (tsUs: number) => boolean {
  let running = random.chance(cycle.runS / (cycle.runS + cycle.restS))
  let untilUs: number | null = null
  const stretchUs = () => (running ? cycle.runS : cycle.restS) * (0.5 + random.uniform()) * 1e6
  return tsUs => {
    untilUs ??= tsUs + stretchUs() * random.uniform()
    while (tsUs >= untilUs) {
      running = !running
      untilUs += Math.max(1, stretchUs())
    }
    return running
  }
}
