/** `tributary-hub serve`: runs the hub until SIGINT or SIGTERM. Results on stdout, the log as JSON lines on stderr. */
import type { Command, CommandContext } from '@tributary/shared/cli'
import { isTributaryError, TributaryError } from '@tributary/shared/errors'
import { readSabotage } from '@tributary/shared/sabotage'
import { destination, type Logger, pino } from 'pino'
import { readConfig } from '../config/read-config.ts'
import { sabotages } from '../config/sabotage.ts'
import { type Hub, startHub } from '../hub.ts'

/** A stop that takes longer is cut off, ms. */
const stopWithinMs = 15_000

export const serve: Command = {
  name: 'serve',
  summary: 'run the hub',
  options: {
    config: { type: 'string', short: 'c', help: 'configuration file; hub.yaml if there is one', value: 'FILE' },
    data: { type: 'string', help: 'folder of keys and embedded database (data_dir)', value: 'DIR' },
    host: { type: 'string', help: 'address to listen on (listen.host)', value: 'HOST' },
    'new-admin-key': { type: 'boolean', help: 'make a new admin key; those before it are revoked' },
    port: { type: 'string', help: 'port to listen on, 0 for a free one (listen.port)', value: 'PORT' },
  },
  examples: [
    'tributary-hub serve',
    'tributary-hub serve --data /var/lib/tributary --port 8443 --config hub.yaml',
    'DATABASE_URL=postgres://… tributary-hub serve --json',
  ],
  async run(context) {
    const env = environment(context)
    const config = readConfig(stringOf(context.values.config), env)
    const sabotage = readSabotage(env, sabotages)
    if (sabotage.size > 0) {
      context.note(
        `WARNING: TRIBUTARY_SABOTAGE breaks promises on purpose: ${[...sabotage].join(', ')}. DATA WILL BE LOST OR DOUBLED.`,
      )
    }
    const logger = createLogger(config.logLevel)
    const failed = Promise.withResolvers<TributaryError>()
    const hub = await startHub({
      config,
      logger,
      sabotage,
      renewAdminKey: context.values['new-admin-key'] === true,
      signal: context.signal,
      onFailed: failed.resolve,
    }).catch(error => {
      if (context.signal.aborted && isTributaryError(error, 'aborted')) return null
      throw error
    })
    if (hub === null) {
      logger.info('stopped before it was ready')
      return 0
    }
    announce(context, hub)
    const failure = await Promise.race([stopped(context.signal), failed.promise])
    logger.info('stopping')
    const deadline = setTimeout(() => {
      logger.error('stopping takes too long: leaving what is still open to the next start')
      // Whatever hangs would keep the process alive; nothing acknowledged depends on it.
      process.exit(1)
    }, stopWithinMs)
    await hub.stop()
    clearTimeout(deadline)
    if (failure instanceof TributaryError) throw failure
    logger.info('stopped')
    return 0
  },
}

/** JSON lines on stderr. One that cannot be written (a closed terminal, a full disk) is lost, and ends nothing. */
function createLogger(level: string): Logger {
  const stderr = destination({ dest: 2, sync: true })
  stderr.on('error', () => undefined)
  return pino({ level }, stderr)
}

/** Options of the command line win over the environment, and that over the file. */
function environment({ values, env }: CommandContext): NodeJS.ProcessEnv {
  const options = { data: 'TRIBUTARY_DATA_DIR', host: 'TRIBUTARY_HUB_HOST', port: 'TRIBUTARY_HUB_PORT' }
  const given = Object.entries(options).flatMap(([option, name]) => {
    const value = values[option]
    return typeof value === 'string' ? [[name, value]] : []
  })
  return { ...env, ...Object.fromEntries(given) }
}

/** One line to wait for, once the hub answers. The admin key is shown to people at the start that made it, never to machines. */
function announce(context: CommandContext, hub: Hub): void {
  context.json({ event: 'ready', url: hub.url, adminKeyFile: hub.adminKeyFile })
  context.out(`Tributary hub ready at ${hub.url}`)
  if (hub.adminKey !== null) {
    context.out(`Admin key, shown once and kept in ${hub.adminKeyFile}: ${hub.adminKey}`)
    context.out('Next: tributary-hub token create --site NAME')
  }
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function stringOf(value: string | boolean | undefined): string | null {
  return typeof value === 'string' ? value : null
}
