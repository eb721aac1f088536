/** Runs the MQTT load as a process of its own, on a core of its own where the machine lets us choose. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { LoadResult } from './mqtt-load.ts'

export interface LoadOptions {
  readonly port: number
  readonly clients: number
  /** Unacknowledged messages each client keeps. */
  readonly inFlight: number
  readonly seconds: number
  /** The core to run on; needs taskset. */
  readonly core?: number
}

export async function spawnLoad({ port, clients, inFlight, seconds, core }: LoadOptions): Promise<LoadResult> {
  const command = [
    process.execPath,
    join(import.meta.dirname, 'mqtt-load.ts'),
    ...[port, clients, inFlight, seconds].map(String),
  ]
  const [program, ...args] = core === undefined ? command : ['taskset', '-c', String(core), ...command]
  const { stdout } = await promisify(execFile)(program!, args)
  return JSON.parse(stdout) as LoadResult
}
