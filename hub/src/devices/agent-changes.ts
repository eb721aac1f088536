/**
 * Hears from the other hubs on the database that an agent was revoked, and forgets it here at once. A hint: without it, or while
 * the connection is away, memory is trusted for `staleMs` of the agent directory and no longer.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { AgentDirectory } from './agent-directory.ts'
import { agentChannel } from './agents.ts'

const reconnectMs = 1000

/** Runs until the signal aborts; resolves when its connection is closed. */
export async function followAgentChanges(
  connectionString: string,
  directory: AgentDirectory,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const client = new pg.Client({ connectionString, application_name: 'tributary agent changes', keepAlive: true })
    const over = Promise.withResolvers<void>()
    const end = () => over.resolve()
    client.on('error', end)
    client.on('end', end)
    client.on('notification', ({ payload }) => directory.forget(payload ?? ''))
    signal.addEventListener('abort', end, { once: true })
    try {
      await client.connect()
      await client.query(`listen ${agentChannel}`)
      await over.promise
    } catch {
      // The database is away: the pause below, then another try.
    } finally {
      signal.removeEventListener('abort', end)
      await client.end().catch(end)
    }
    await sleep(reconnectMs, undefined, { signal }).catch(end)
  }
}
