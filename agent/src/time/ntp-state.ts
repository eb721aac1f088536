/**
 * Whether the machine's clock is synchronised, as far as that can be seen without privileges and native code.
 *
 * systemd-timesyncd touches a file at each synchronisation (systemd-timesyncd.service(8)). Where there is none (chrony, ntpd), timedatectl
 * tells what the kernel knows of any of them (NTPSynchronized, timedatectl(1)). Where there is neither, nobody knows: not synchronised.
 * A clock that was set by hand afterwards still has its file: `wallStepped` makes it count only once it is touched again. The kernel forgets
 * by itself.
 */
import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import { promisify } from 'node:util'

const markPath = '/run/systemd/timesync/synchronized'
/** A synchronisation may itself have set the clock just now, ms. */
const freshMs = 5000
const askTimeoutMs = 5000
/** A program is not started more often than this, ms. */
const askEveryMs = 15_000

/** What the machine tells; replaced in tests. */
export interface NtpReadings {
  /** When the file was touched last, ms since 1970; null when there is none. */
  readonly markMs: () => number | null
  /** Null when it cannot be asked. */
  readonly ask: () => Promise<boolean | null>
}

export const machineNtp: NtpReadings = {
  markMs: () => statSync(markPath, { throwIfNoEntry: false })?.mtimeMs ?? null,
  async ask() {
    try {
      const question = ['show', '--property=NTPSynchronized', '--value']
      const { stdout } = await promisify(execFile)('timedatectl', question, { timeout: askTimeoutMs })
      return stdout.trim() === 'yes'
    } catch {
      return null
    }
  },
}

export class NtpState {
  readonly #readings: NtpReadings
  #doubtedMarkMs: number | null = null
  /** Never again once it could not be asked. */
  #askAtMs = 0

  constructor(readings: NtpReadings = machineNtp) {
    this.#readings = readings
  }

  async synchronized(): Promise<boolean> {
    const markMs = this.#readings.markMs()
    if (markMs !== null) return markMs !== this.#doubtedMarkMs
    if (performance.now() < this.#askAtMs) return false
    const answer = await this.#readings.ask()
    this.#askAtMs = answer === null ? Infinity : performance.now() + askEveryMs
    return answer ?? false
  }

  /** The wall clock was set, and says `wallMs` now. */
  wallStepped(wallMs: number): void {
    const markMs = this.#readings.markMs()
    if (markMs !== null && Math.abs(wallMs - markMs) > freshMs) this.#doubtedMarkMs = markMs
  }
}
