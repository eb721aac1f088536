/**
 * The images and the compose file, as far as they can be tried without a Docker engine: what the build stages install is installed,
 * and what ENTRYPOINT, CMD, HEALTHCHECK, USER, ENV and compose.yaml say is started (container.ts tells how, and what differs).
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectDatabase, type Database } from '../../hub/src/database/database.ts'
import { EmbeddedPostgres } from '../../hub/src/database/embedded-postgres.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { freePort } from '../harness/stack.ts'
import { requirePrograms } from '../system/requirements.ts'
import { inContext } from './build-context.ts'
import { type Finished, runContainer, Service } from './container.ts'
import { buildStack, commandOf, containerOf, imageContainer, placeFile, type Stack, volumeFolder } from './stack.ts'
import { requireTools } from './tools.ts'

let folder: string
let stack: Stack

beforeAll(async () => {
  requireTools()
  requirePrograms('bwrap', 'openssl')
  // Root's sandboxes run as another account, which TMPDIR may keep out.
  folder = mkdtempSync(join(process.getuid?.() === 0 ? '/var/tmp' : tmpdir(), 'tributary-images-'))
  chmodSync(folder, 0o755)
  stack = buildStack(folder)
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the images', () => {
  test.each(['agent', 'hub'] as const)('%s: is labelled with the version of this repository', name => {
    expect(stack.images[name].config.labels['org.opencontainers.image.version']).toBe(packageJson.version)
    expect(stack.model.services[name]!.image).toBe(`tributary-${name}:${packageJson.version}`)
  })

  test.each(['agent', 'hub'] as const)('%s: stands on the Node that the repository is tested with', name => {
    expect(stack.images[name].base).toBe(`node:${process.versions.node}-bookworm-slim`)
  })

  test.each([
    ['agent', 24],
    ['hub', 80],
  ] as const)(
    '%s: adds less than %i MB to its base, and nothing of tests, TypeScript of others or other platforms',
    (name, mb) => {
      const root = join(stack.images[name].root, 'opt/tributary')
      const files = readdirSync(root, { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile() && !entry.parentPath.includes('/@tributary/'))
        .map(entry => join(entry.parentPath, entry.name))
      const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
      console.log(
        `${name} image: ${(bytes / 1e6).toFixed(1)} MB in ${files.length} files above ${stack.images[name].base}`,
      )
      expect(bytes).toBeLessThan(mb * 1e6)
      const unwanted = /\.test\.ts$|node_modules\/.*\.ts$|(darwin|win32|android|musl).*\.node$|\/firmware-sim\//
      expect(files.filter(file => unwanted.test(file))).toEqual([])
    },
  )

  test('a page of the hub is part of the build, whatever it is made of', () => {
    for (const name of ['console.ts', 'index.html', 'app.js', 'style.css', 'icon.svg', 'font.woff2', 'notes.md'])
      expect(inContext(`hub/src/console/${name}`)).toBe(true)
  })

  test.each(['deploy/mqtt-users', 'hub-data/admin-key', 'hub/hub-data/hub-key.pem', 'token.txt', '.git/config'])(
    '%s never reaches a build',
    path => expect(inContext(path)).toBe(false),
  )
})

describe('the hub image alone', () => {
  test('runs with its own Postgres, is healthy, and ends by its stop signal', async () => {
    const port = String(await freePort())
    const env = { TRIBUTARY_HUB_PORT: port, TRIBUTARY_HUB_URL: `http://127.0.0.1:${port}` }
    const { config } = stack.images.hub
    const hub = new Service(imageContainer(stack, 'hub', 'alone', env), [...config.entrypoint, ...config.command])
    try {
      await healthy(hub, config.healthcheck)
      expect(existsSync(join(volumeFolder(stack, 'alone'), 'data/postgres/data/PG_VERSION'))).toBe(true)
      expect(hub.output).not.toContain('copying the Postgres programs')
      expect(await hub.stop(config.stopSignal as NodeJS.Signals), hub.output).toBe(0)
    } finally {
      await hub.stop('SIGKILL')
    }
  }, 90_000)
})

describe('the services of compose.yaml', () => {
  let postgres: EmbeddedPostgres
  let database: Database
  let hub: Service
  let agent: Service
  let mqttPort: number

  beforeAll(async () => {
    finished(await runContainer(containerOf(stack, 'prepare'), commandOf(stack, 'prepare')))
    await makeSensorsUser()
    const url = await startPostgres()
    const [hubPort, healthPort] = [await freePort(), await freePort()]
    mqttPort = await freePort()
    const hubEnv = {
      TRIBUTARY_HUB_PORT: `${hubPort}`,
      TRIBUTARY_HUB_URL: `https://localhost:${hubPort}`,
      DATABASE_URL: url,
    }
    hub = new Service(containerOf(stack, 'hub', hubEnv), commandOf(stack, 'hub'))
    const agentEnv = {
      TRIBUTARY_MQTT_PORT: `${mqttPort}`,
      TRIBUTARY_HEALTH_PORT: `${healthPort}`,
      TRIBUTARY_HUB_URL: `https://hub:${hubPort}`,
    }
    agent = new Service(containerOf(stack, 'agent', agentEnv), commandOf(stack, 'agent'))
  }, 90_000)

  afterAll(async () => {
    await agent?.stop('SIGTERM')
    await hub?.stop('SIGTERM')
    await database?.close()
    await postgres?.stop()
  })

  test('prepare makes a password, a key that others cannot read, and a certificate; and makes them once', async () => {
    const files = ['database-password/password', 'hub-key/hub.key', 'hub-certificate/hub.crt']
    const paths = files.map(file => join(folder, 'volumes', file))
    expect(paths.map(path => statSync(path).mode & 0o777)).toEqual([0o444, 0o640, 0o444])
    const before = paths.map(path => readFileSync(path, 'utf8'))
    finished(await runContainer(containerOf(stack, 'prepare'), commandOf(stack, 'prepare')))
    expect(paths.map(path => readFileSync(path, 'utf8'))).toEqual(before)
  })

  test('hub and agent become healthy by their own checks', async () => {
    await healthy(agent, stack.images.agent.config.healthcheck)
    await healthy(hub, stack.images.hub.config.healthcheck)
  }, 60_000)

  test('a check fails where its program does not run', async () => {
    const elsewhere = { ...hub.options, env: { ...hub.options.env, TRIBUTARY_HUB_URL: 'https://localhost:1' } }
    expect((await runContainer(elsewhere, stack.images.hub.config.healthcheck)).code).toBe(1)
  })

  test('the agent enrols over TLS with a token piped from the hub, and a reading published with a password is stored', async () => {
    const made = finished(await runContainer(hub.options, ['tributary-hub', 'token', 'create', '--site', 'hall-1']))
    const enroll = ['tributary-agent', 'enroll', '--token-file', '-']
    expect(finished(await runContainer(agent.options, enroll, made.stdout)).stdout).toContain('site hall-1')
    const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { username: 'sensors', password })
    await client.publishAsync('sensors/press-1/temperature', '21.5', { qos: 1 })
    await client.endAsync()
    await eventually('the reading', async () => {
      const { rows } = await database.pool.query(`select value from reading where value = 21.5`)
      return rows.length === 1
    })
  }, 60_000)

  test('a sensor without password is turned away', async () => {
    await expect(connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { reconnectPeriod: 0 })).rejects.toThrow(
      /not authorized/i,
    )
  })

  test('no secret stands in an environment or in the log', () => {
    const secret = readFileSync(join(folder, 'volumes/database-password/password'), 'utf8').trim()
    for (const { options, output } of [hub, agent]) expect(JSON.stringify(options.env) + output).not.toContain(secret)
  })

  test('every port is published on loopback alone', () => {
    const ports = Object.values(stack.model.services).flatMap(service => service.ports ?? [])
    expect(ports.map(({ host_ip: address, target }) => [address, target])).toEqual([
      ['127.0.0.1', 1883],
      ['127.0.0.1', 8080],
    ])
  })

  test('agent and hub end by their stop signal', async () => {
    for (const [name, service] of [
      ['agent', agent],
      ['hub', hub],
    ] as const) {
      const { stopSignal } = stack.images[name].config
      expect(await service.stop(stopSignal as NodeJS.Signals), service.output).toBe(0)
    }
  }, 30_000)

  const password = 'only for the sensors'

  /** As the head of compose.yaml has it. */
  async function makeSensorsUser(): Promise<void> {
    const { config } = stack.images.agent
    const image = imageContainer(stack, 'agent', 'nothing', {})
    const { stdout } = finished(await runContainer(image, [...config.entrypoint, 'password', 'hash'], password))
    const file = join(folder, 'mqtt-users')
    writeFileSync(file, `sensors:${stdout}`)
    placeFile(stack, 'mqtt-users', file)
  }

  /** Stands in for the image of Postgres; with the password that `prepare` made. The hub's address of it. */
  async function startPostgres(): Promise<string> {
    postgres = await EmbeddedPostgres.start({ dataDir: join(folder, 'server') })
    database = connectDatabase(postgres.connectionString())
    const secret = readFileSync(join(folder, 'volumes/database-password/password'), 'utf8').trim()
    await database.pool.query(`create role compose superuser login password '${secret}'`)
    return `postgres://compose@postgres:${postgres.port}/tributary`
  }
})

async function healthy(service: Service, check: readonly string[]): Promise<void> {
  await eventually('health', async () => {
    if (!service.running) throw new Error(`ended: ${service.output}`)
    return (await runContainer(service.options, check)).code === 0
  })
}

async function eventually(what: string, probe: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 60_000
  while (!(await probe())) {
    if (Date.now() > endMs) throw new Error(`not seen within 60 s: ${what}`)
    await sleep(200)
  }
}

function finished<T extends Finished>(result: T): T {
  if (result.code !== 0) throw new Error(`exit ${result.code}: ${result.stderr}${result.stdout}`)
  return result
}
