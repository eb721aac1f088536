/** The agent that runs on this machine with a given configuration, asked over its health port. */
import { readFile } from 'node:fs/promises'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { request } from 'undici'
import { type RunFile, runFilePath } from '../agent.ts'
import type { AgentConfig } from '../config/agent-config.ts'

const timeoutMs = 10_000

export interface RunningAgent {
  get<T>(path: string): Promise<T>
  post<T>(path: string, body: unknown): Promise<T>
}

/** Null when none runs. A file that a killed agent left behind is seen through: nobody answers at its port. */
export async function findRunningAgent(config: AgentConfig): Promise<RunningAgent | null> {
  const { host, port } = (await readRunFile(config.dataDir))?.health ?? config.health
  const shown = ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host
  const origin = `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`
  const agent: RunningAgent = {
    get: path => ask(`${origin}${path}`, null),
    post: (path, body) => ask(`${origin}${path}`, JSON.stringify(body)),
  }
  try {
    await agent.get('/healthz')
    return agent
  } catch (error) {
    if (refusesConnections(error)) return null
    throw error
  }
}

export function notRunning(config: AgentConfig): TributaryError {
  return new TributaryError('unavailable', `no agent runs on the data folder ${config.dataDir}`, {
    hint: 'Start it with: tributary-agent run. If it runs, give the --config that it was started with.',
  })
}

async function readRunFile(dataDir: string): Promise<RunFile | null> {
  try {
    return JSON.parse(await readFile(runFilePath(dataDir), 'utf8')) as RunFile
  } catch {
    // Missing, or half written by an agent that was killed: the configured port is tried instead.
    return null
  }
}

async function ask<T>(url: string, body: string | null): Promise<T> {
  const answer = await request(url, {
    method: body === null ? 'GET' : 'POST',
    ...(body !== null && { body, headers: { 'content-type': 'application/json' } }),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  const text = await answer.body.text()
  if (answer.statusCode === 200) return JSON.parse(text) as T
  throw new TributaryError(
    'unavailable',
    `the agent at ${url} answered ${answer.statusCode}: ${text.trim().slice(0, 200)}`,
  )
}

function refusesConnections(error: unknown): boolean {
  return ['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT', 'ECONNRESET'].some(
    code => (error as { code?: string }).code === code || messageOf(error).includes(code),
  )
}
