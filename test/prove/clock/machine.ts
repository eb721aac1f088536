/**
 * A machine with clocks of its own for one program at a time: what it reads as time, uptime and boot id is given by clock-shim.c from
 * two files here. A step of the wall clock reaches the running program at once.
 */
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { requirePrograms } from '../../system/requirements.ts'

const bytes = 48
/** Where in the file the wall clock is set. */
const setAt = 24

export interface BootClocks {
  /** What the wall clock says at the boot, ms since 1970. */
  readonly wallMs: number
  /** By how much every clock runs fast: 0.05 is 5 %. */
  readonly rate: number
}

export class Machine {
  /** What the program is started with. */
  readonly env: NodeJS.ProcessEnv
  readonly #clockFile: string
  readonly #bootFile: string
  #setNs = 0n

  /** Compiles the shim into `folder`. */
  constructor(folder: string) {
    requirePrograms('cc')
    const library = join(folder, 'clock-shim.so')
    const source = join(import.meta.dirname, 'clock-shim.c')
    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-Wall', '-o', library, source, '-ldl', '-pthread'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#clockFile = join(folder, 'machine-clock')
    this.#bootFile = join(folder, 'machine-boot')
    this.env = {
      LD_PRELOAD: library,
      UV_USE_IO_URING: '0',
      TRIBUTARY_CLOCK_FILE: this.#clockFile,
      TRIBUTARY_CLOCK_BOOT: this.#bootFile,
    }
  }

  /** The power comes back: another boot, its monotonic clock near zero. No program of the machine runs. Returns when, ms. */
  boot({ wallMs, rate }: BootClocks): number {
    writeFileSync(this.#bootFile, `${randomUUID()}\n`)
    this.#setNs = 0n
    const file = Buffer.alloc(bytes)
    file.writeBigInt64LE(process.hrtime.bigint(), 0)
    file.writeBigInt64LE(0n, 8)
    file.writeBigInt64LE(BigInt(Math.round(wallMs)) * 1_000_000n, 16)
    file.writeDoubleLE(rate, 32)
    writeFileSync(this.#clockFile, file)
    return Date.now()
  }

  /** Somebody sets the wall clock. */
  stepWall(byMs: number): void {
    this.#setNs += BigInt(Math.round(byMs)) * 1_000_000n
    const set = Buffer.alloc(8)
    set.writeBigInt64LE(this.#setNs, 0)
    const fd = openSync(this.#clockFile, 'r+')
    writeSync(fd, set, 0, set.length, setAt)
    closeSync(fd)
  }
}
