/** A server under test as a process of its own on core 0, with a fresh folder, that prints `{"port"}` when it listens. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface RunningServer {
  readonly port: number
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

/** `command` gives script (below bench/) and arguments for a folder. */
export async function startServer(command: (folder: string) => readonly string[]): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-server-'))
  const [script, ...args] = command(folder)
  const program = [process.execPath, join(import.meta.dirname, '..', script!), ...args]
  const server = spawn('taskset', ['-c', '0', ...program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const stop = async () => {
    const ended = server.exitCode === null && server.signalCode === null ? once(server, 'exit') : null
    server.kill()
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    return { port: await portOf(server), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function portOf(server: ChildProcess): Promise<number> {
  for await (const line of createInterface({ input: server.stdout! }))
    return (JSON.parse(line) as { port: number }).port
  throw new Error('the server ended before it named its port')
}
