/**
 * The clock of one boot of the machine: it only grows, and every process and thread of the boot reads the same. Whole microseconds.
 *
 * It is CLOCK_MONOTONIC and what the machine slept, which that clock leaves out and /proc/uptime counts (to 10 ms). The latter is looked
 * at once a second, and at once when the wall clock moves against the monotonic one, as it does after a sleep. Steps of the wall clock
 * change nothing else here.
 */
import { readFileSync } from 'node:fs'
import { readBootId } from './boot-id.ts'

/** What the machine tells; replaced in tests. */
export interface BootReadings {
  /** CLOCK_MONOTONIC, µs. */
  readonly monotonicUs: () => number
  /** Since 1970 UTC as the machine believes, µs; may jump. */
  readonly wallUs: () => number
  /** Since the machine's start with its sleep, µs; null where nobody tells. */
  readonly uptimeUs: () => number | null
}

export const machineReadings: BootReadings = {
  monotonicUs() {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1_000_000 + Math.floor(nanoseconds / 1000)
  },
  wallUs: () => Date.now() * 1000,
  uptimeUs() {
    try {
      const seconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
      return Number.isFinite(seconds) ? seconds * 1e6 : null
    } catch {
      return null
    }
  },
}

const lookEveryUs = 1_000_000
/** A wall clock that moved by this much may mean a sleep; less sleep than this is none. */
const noticeUs = 100_000

export class BootClock {
  readonly bootId: string
  readonly #readings: BootReadings
  #sleptUs = 0
  #lookAtUs = Number.NEGATIVE_INFINITY
  #wallAheadUs = 0

  constructor(bootId: string = readBootId(), readings: BootReadings = machineReadings) {
    this.bootId = bootId
    this.#readings = readings
  }

  nowUs(): number {
    const monotonicUs = this.#readings.monotonicUs()
    const wallAheadUs = this.#readings.wallUs() - monotonicUs
    if (monotonicUs >= this.#lookAtUs || Math.abs(wallAheadUs - this.#wallAheadUs) > noticeUs) {
      this.#wallAheadUs = wallAheadUs
      this.#lookForSleep(monotonicUs)
    }
    return monotonicUs + this.#sleptUs
  }

  /** Since 1970 UTC as the machine believes, µs; may jump. */
  wallUs(): number {
    return this.#readings.wallUs()
  }

  #lookForSleep(monotonicUs: number): void {
    this.#lookAtUs = monotonicUs + lookEveryUs
    const uptimeUs = this.#readings.uptimeUs()
    if (uptimeUs !== null && uptimeUs - monotonicUs > this.#sleptUs + noticeUs)
      this.#sleptUs = Math.floor(uptimeUs - monotonicUs)
  }
}
