/**
 * `npm run services -- up|down|status|reset [NAME…]`: real services beside the hub, for a developer's machine.
 *
 * They run until `down`, on 127.0.0.1 alone, with ports and folders of their own (`.tributary/services`). `up` returns when each
 * answers, and does nothing for one that runs; `reset` stops and deletes what they keep.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, type CommandContext, processIo, runProgram, UsageError } from '@tributary/shared/cli'
import { nearest } from '@tributary/shared/nearest'
import { repository } from '../harness/program.ts'
import { requirePrograms } from '../system/requirements.ts'
import { KafkaService } from './kafka.ts'
import { MosquittoService } from './mosquitto.ts'
import { PostgresService } from './postgres.ts'
import { RedisService } from './redis.ts'
import type { Service, ServiceStatus } from './service.ts'

const home = join(repository, '.tributary/services')
const names = ['kafka', 'postgres', 'redis', 'mosquitto'] as const
type Name = (typeof names)[number]

/** `brokers` null: as many as were started last. */
function service(name: Name, brokers: number | null): Service {
  const folder = join(home, name)
  switch (name) {
    case 'kafka':
      return kafka(folder, brokers ?? KafkaService.brokersOf(folder) ?? 1)
    case 'postgres':
      return new PostgresService({ folder, port: 15432 })
    case 'redis':
      return new RedisService({ folder, port: 16379 })
    case 'mosquitto':
      return new MosquittoService({ folder, port: 11883 })
    default:
      return name satisfies never
  }
}

function kafka(folder: string, brokers: number): Service {
  const nodes = Array.from({ length: brokers }, (_, n) => ({ client: 19092 + 10 * n, controller: 19093 + 10 * n }))
  return new KafkaService({ folder, nodes })
}

const positionals = `[${names.join('|')}]…`
const brokersOption = {
  brokers: { type: 'string', value: 'N', help: 'Kafka brokers, 1 or 3 (default: as before, else 1)' },
} as const

const up: Command = {
  name: 'up',
  summary: 'start services (all, or those named) and wait until they answer',
  positionals,
  options: brokersOption,
  examples: ['npm run services -- up', 'npm run services -- up kafka postgres --brokers 3'],
  async run(context) {
    const services = chosen(context)
    requirePrograms(...services.flatMap(({ programs }) => programs))
    for (const one of services) await one.start(step => context.note(`${one.name}: ${step}`))
    return show(context, services)
  },
}

const down: Command = {
  name: 'down',
  summary: 'stop services; their data stays',
  positionals,
  options: {},
  examples: ['npm run services -- down', 'npm run services -- down kafka'],
  async run(context) {
    const services = chosen(context)
    for (const one of services) await one.stop()
    return show(context, services)
  },
}

const status: Command = {
  name: 'status',
  summary: 'say what runs, with ports, pids and folders',
  positionals,
  options: {},
  examples: ['npm run services -- status', 'npm run services -- status kafka --json'],
  async run(context) {
    return show(context, chosen(context))
  },
}

const reset: Command = {
  name: 'reset',
  summary: 'stop services and delete what they keep',
  positionals,
  options: {},
  examples: ['npm run services -- reset kafka', 'npm run services -- reset'],
  async run(context) {
    const services = chosen(context)
    for (const one of services) {
      await one.stop()
      rmSync(one.status().folder, { recursive: true, force: true })
    }
    return show(context, services)
  },
}

function chosen({ positionals: wanted, values }: CommandContext): Service[] {
  for (const name of wanted) {
    if (isName(name)) continue
    const near = nearest(name, names)
    throw new UsageError('unprocessable', `no service "${name}"${near === null ? '' : `; did you mean "${near}"?`}`, {
      hint: `One of: ${names.join(', ')}`,
    })
  }
  const brokers = values.brokers === undefined ? null : Number(values.brokers)
  if (brokers !== null && brokers !== 1 && brokers !== 3)
    throw new UsageError('unprocessable', `--brokers ${values.brokers} is neither 1 nor 3`)
  return names.filter(name => wanted.length === 0 || wanted.includes(name)).map(name => service(name, brokers))
}

function isName(text: string): text is Name {
  return names.some(name => name === text)
}

function show(context: CommandContext, services: readonly Service[]): number {
  const all = services.map(one => one.status())
  context.json(all)
  for (const one of all) context.out(line(one))
  return 0
}

function line({ name, running, pids, ports, folder, address }: ServiceStatus): string {
  const listens = Object.entries(ports).map(([what, port]) => `${what} ${port}`)
  const state = running ? `pid ${pids.join(', ')}` : pids.length > 0 ? `partly, pid ${pids.join(', ')}` : 'stopped'
  return `${name}: ${state}\n  ${address}\n  ports: ${listens.join(', ')}\n  folder: ${folder}`
}

process.exitCode = await runProgram(
  {
    name: 'npm run services --',
    version: '',
    summary: 'real services beside the hub, for development',
    commands: [up, down, status, reset],
  },
  process.argv.slice(2),
  processIo(),
)
