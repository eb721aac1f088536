/** `run`: the agent, until it is told to stop. */
import type { Command } from '@tributary/shared/cli'
import { TributaryError } from '@tributary/shared/errors'
import { readSabotage } from '@tributary/shared/sabotage'
import { type Logger, pino } from 'pino'
import { Agent } from '../agent.ts'
import { sabotages } from '../config/sabotage.ts'
import { configOption, readConfigOption } from './config-option.ts'

/** Bound of a graceful stop. */
const stopMs = 10_000

export function createRun(version: string): Command {
  return {
    name: 'run',
    summary: 'run the agent until SIGINT or SIGTERM; logs go to stderr as JSON lines',
    options: configOption,
    examples: [
      'tributary-agent run',
      'tributary-agent run --config /etc/tributary/agent.yaml',
      'TRIBUTARY_MQTT_PORT=0 tributary-agent run --json',
    ],
    async run(context) {
      const config = await readConfigOption(context)
      const log = createLogger(config.logLevel)
      const agent = new Agent({ config, version, log, sabotage: readSabotage(context.env, sabotages) })
      await agent.start()
      const { enrolment, sources } = await agent.status()
      const health = agent.healthPort === null ? null : `http://${config.health.host}:${agent.healthPort}`
      context.json({
        event: 'ready',
        pid: process.pid,
        mqttPort: agent.mqttPort,
        health,
        agentId: enrolment?.agentId ?? null,
      })
      context.out(`listening: ${sources.map(({ name, detail }) => `${name} ${detail}`).join(', ') || 'no source'}`)
      context.out(health === null ? 'health: off' : `health: ${health}/status`)
      context.out(
        enrolment === null
          ? 'not enrolled: readings are kept until `tributary-agent enroll` has been run'
          : `enrolled as ${enrolment.agentId} at ${enrolment.hub}`,
      )
      await aborted(context.signal)
      log.info('stopping')
      await within(agent.stop(), stopMs)
      return 0
    },
  }
}

/** One that cannot be written (a closed terminal, a full disk) is lost, and ends nothing. */
function createLogger(level: string): Logger {
  const stderr = pino.destination({ dest: 2, sync: true })
  stderr.on('error', () => undefined)
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stderr)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function within(stopped: Promise<void>, ms: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new TributaryError('internal', `not stopped after ${ms / 1000} s; ended hard`)),
    ms,
  )
  try {
    await Promise.race([stopped, promise])
  } finally {
    clearTimeout(timer)
  }
}
