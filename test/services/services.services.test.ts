/** The services themselves: they answer when `start` returns, keep their data, and end by pid; the command says what it needs. */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { freePort } from '../harness/stack.ts'
import { answers } from './daemon.ts'
import { KafkaService } from './kafka.ts'
import { MosquittoService } from './mosquitto.ts'
import { PostgresService } from './postgres.ts'
import { RedisService } from './redis.ts'

let cleanup = new AsyncDisposableStack()
afterEach(async () => {
  await cleanup.disposeAsync()
  cleanup = new AsyncDisposableStack()
})

const silent = () => undefined

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-services-'))
  cleanup.defer(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

describe.each([
  ['Redis', RedisService],
  ['Mosquitto', MosquittoService],
] as const)('%s', (_, Service) => {
  test('answers once it is started, is one process, and ends', async () => {
    const port = await freePort()
    const service = new Service({ folder: makeFolder(), port })
    cleanup.defer(() => service.stop())
    await service.start(silent)
    const { pids } = service.status()
    await service.start(silent)
    expect(service.status()).toMatchObject({ running: true, pids })
    expect(await answers(port)).toBe(true)
    await service.stop()
    expect(service.status()).toMatchObject({ running: false, pids: [] })
    expect(await answers(port)).toBe(false)
  })

  test('does not start on a port that another process has', async () => {
    const port = await freePort()
    const other = createServer().listen(port, '127.0.0.1')
    cleanup.defer(() => void other.close())
    const service = new Service({ folder: makeFolder(), port })
    await expect(service.start(silent)).rejects.toMatchObject({ code: 'in-use' })
    expect(service.status().running).toBe(false)
  })
})

test('Kafka that was made for three brokers does not start as one', async () => {
  const folder = makeFolder()
  writeFileSync(join(folder, 'brokers'), '3')
  const kafka = new KafkaService({ folder, nodes: [{ client: await freePort(), controller: await freePort() }] })
  await expect(kafka.start(silent)).rejects.toMatchObject({ code: 'conflict', hint: expect.stringContaining('reset') })
})

test.each([0o700, 0o755])('Postgres in a folder of mode %o keeps its rows over a stop', async mode => {
  const folder = makeFolder()
  chmodSync(folder, mode)
  const postgres = new PostgresService({ folder: join(folder, 'postgres'), port: await freePort() })
  cleanup.defer(() => rmSync(postgres.status().folder, { recursive: true, force: true }))
  cleanup.defer(() => postgres.stop())
  const query = async (text: string) => {
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    const { rows } = await client.query(text)
    await client.end()
    return rows
  }
  await postgres.start(silent)
  await query('create table kept as select 7 as n')
  await postgres.stop()
  expect(postgres.status().pids).toEqual([])
  await postgres.start(silent)
  expect(await query('select n from kept')).toEqual([{ n: 7 }])
  expect(JSON.stringify(postgres.status())).not.toContain(new URL(postgres.url).password)
})

describe('npm run services', () => {
  const run = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const main = join(import.meta.dirname, 'main.ts')
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [main, ...args], {
        env: { ...process.env, ...env },
      })
      return { code: 0, stdout, stderr: '' }
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
      return { code, stdout, stderr }
    }
  }

  test('without its programs it ends with the line that installs them', async () => {
    const { code, stderr } = await run(['up', 'redis', 'kafka'], { PATH: '/nowhere' })
    expect(code).toBe(1)
    expect(stderr).toContain('apt-get install -y openjdk-17-jre-headless maven redis-server')
  })

  test('a mistyped service is refused with the nearest one', async () => {
    const { code, stderr } = await run(['up', 'kafak'])
    expect(code).toBe(2)
    expect(stderr).toContain('did you mean "kafka"?')
  })

  test('two brokers are refused: a quorum of two stops with either', async () => {
    expect(await run(['up', 'kafka', '--brokers', '2'])).toMatchObject({ code: 2 })
  })

  test('status tells machines of every service', async () => {
    const { code, stdout } = await run(['status', '--json'])
    expect(code).toBe(0)
    expect((JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)).toEqual([
      'kafka',
      'postgres',
      'redis',
      'mosquitto',
    ])
  })
})
