/** Runs the MQTT load as a process of its own, on a core of its own where the machine lets us choose. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Load, LoadResult } from './mqtt-load.ts'

export interface LoadOptions extends Omit<Load, 'perSecond'> {
  /** Messages a second of all clients together; a closed loop without it. */
  readonly perSecond?: number
  /** The core to run on; needs taskset. */
  readonly core?: number
}

export async function spawnLoad(load: LoadOptions): Promise<LoadResult> {
  const { port, clients, inFlight, seconds, perSecond, core } = load
  const command = [
    process.execPath,
    join(import.meta.dirname, 'mqtt-load.ts'),
    ...[port, clients, inFlight, seconds, ...(perSecond === undefined ? [] : [perSecond])].map(String),
  ]
  const [program, ...args] = core === undefined ? command : ['taskset', '-c', String(core), ...command]
  const { stdout } = await promisify(execFile)(program!, args)
  return JSON.parse(stdout) as LoadResult
}
