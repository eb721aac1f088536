/**
 * Packages and their installation, into a folder: then the commands of the units run there, as an unprivileged account, with what
 * ProtectSystem=strict leaves writable, and every system call that they make is looked up in the unit's filter.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { freePort } from '../harness/stack.ts'
import { requirePrograms } from '../system/requirements.ts'
import { type ContainerOptions, giveAway, outsideAccount, prepareHost, runContainer, Service } from './container.ts'
import { repository } from './tools.ts'
import { allowedSystemCalls, readUnit, type Unit } from './unit.ts'

const programs = ['agent', 'hub'] as const
type ProgramName = (typeof programs)[number]

let folder: string
let root: string

const { version } = packageJson
const unpacked = (program: ProgramName) => join(folder, `tributary-${program}-${version}`)
const installer = (program: ProgramName) => join(unpacked(program), 'deploy/install.sh')
const unit = (program: ProgramName) => readUnit(join(root, `etc/systemd/system/tributary-${program}.service`))

function install(program: ProgramName, args: readonly string[], env: Record<string, string>, account = {}) {
  const options = { encoding: 'utf8', cwd: '/', env: { PATH: process.env.PATH, ...env }, ...account } as const
  return spawnSync('sh', [installer(program), program, ...args], options)
}

beforeAll(async () => {
  requirePrograms('bwrap', 'strace', 'systemd-analyze')
  folder = mkdtempSync(join(process.getuid?.() === 0 ? '/var/tmp' : tmpdir(), 'tributary-install-'))
  chmodSync(folder, 0o755)
  root = join(folder, 'root')
  await Promise.all(
    programs.map(async program => {
      const { stdout } = await promisify(execFile)('sh', [join(repository, 'deploy/package.sh'), program, folder])
      execFileSync('tar', ['-C', folder, '-xzf', stdout.trim()])
    }),
  )
  prepareHost(join(folder, 'host'), [])
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a package', () => {
  test.each([
    ['agent', 145],
    ['hub', 205],
  ] as const)('of the %s is less than %i MB unpacked, Node 24 included, and has no tests', (program, mb) => {
    const kb = Number(execFileSync('du', ['-sk', unpacked(program)], { encoding: 'utf8' }).split('\t')[0])
    console.log(`${program} package: ${Math.round(kb / 1024)} MB unpacked`)
    expect(kb).toBeLessThan(mb * 1024)
    const tests = execFileSync('find', [unpacked(program), '-name', '*.test.ts', '-o', '-name', '*.system.test.ts'])
    expect(tests.toString()).toBe('')
  })
})

describe('install.sh', () => {
  test('--dry-run names every step and does none', () => {
    const { status, stdout } = install('agent', ['--dry-run'], { DESTDIR: root })
    expect(status).toBe(0)
    expect(stdout.split('\n').map(line => line.split(' ')[0])).toEqual([
      'program',
      'in',
      'configuration',
      'service',
      'command',
      '',
    ])
    expect(statSync(root, { throwIfNoEntry: false })).toBeUndefined()
  })

  test('run without root says so, and what to do', () => {
    const { status, stderr } = install('hub', [], {}, outsideAccount ?? {})
    expect(status).toBe(1)
    expect(stderr).toContain('sudo sh deploy/install.sh hub')
  })

  test.each([
    [[], 'say which: agent or hub'],
    [['agent', '--version'], '--version is not understood'],
  ])('%j is refused with the usage', (args, message) => {
    const { status, stderr } = spawnSync('sh', [installer('agent'), ...args], { encoding: 'utf8' })
    expect(status).toBe(2)
    expect(stderr).toContain(message)
    expect(stderr).toContain('usage:')
  })

  test('of the package of another program is refused', () => {
    const { status, stderr } = spawnSync('sh', [installer('agent'), 'hub'], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([1, expect.stringContaining('sh deploy/package.sh hub')])
  })

  test('puts tree, link, configuration, unit and command in place', () => {
    for (const program of programs) {
      expect(install(program, [], { DESTDIR: root })).toMatchObject({ status: 0, stderr: '' })
      expect(readlinkSync(join(root, 'opt/tributary', program))).toBe(`${program}-${version}`)
      expect(readFileSync(join(root, `etc/tributary/${program}.yaml`), 'utf8')).toContain(
        `\ndata_dir: /var/lib/tributary-${program}\n`,
      )
      expect(statSync(join(root, `usr/local/bin/tributary-${program}`)).mode & 0o777).toBe(0o755)
    }
  })

  test('of another version leaves the configuration and the tree before it, and goes back to it', () => {
    const config = join(root, 'etc/tributary/agent.yaml')
    writeFileSync(config, `${readFileSync(config, 'utf8')}# mine\n`)
    const manifest = join(unpacked('agent'), 'package.json')
    const original = readFileSync(manifest, 'utf8')
    writeFileSync(manifest, original.replace(`"version": "${version}"`, '"version": "9.9.9"'))
    expect(install('agent', [], { DESTDIR: root }).status).toBe(0)
    writeFileSync(manifest, original)
    expect(readlinkSync(join(root, 'opt/tributary/agent'))).toBe('agent-9.9.9')
    const before = join(root, `opt/tributary/agent-${version}/deploy/install.sh`)
    const back = spawnSync('sh', [before, 'agent'], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, DESTDIR: root },
    })
    expect(back.stdout).not.toContain('program ')
    expect(readlinkSync(join(root, 'opt/tributary/agent'))).toBe(`agent-${version}`)
    expect(readFileSync(config, 'utf8')).toMatch(/# mine\n$/)
  })
})

describe('the commands of the units', () => {
  let hub: Service
  let agent: Service
  let ports: Record<'hub' | 'mqtt' | 'health', number>

  beforeAll(async () => {
    ports = { hub: await freePort(), mqtt: await freePort(), health: await freePort() }
    hub = startUnit('hub', { TRIBUTARY_HUB_PORT: `${ports.hub}` })
    agent = startUnit('agent', { TRIBUTARY_MQTT_PORT: `${ports.mqtt}`, TRIBUTARY_HEALTH_PORT: `${ports.health}` })
  })

  afterAll(async () => {
    await agent?.stop('SIGKILL')
    await hub?.stop('SIGKILL')
  })

  test('take a reading from a sensor to the hub, after one command with a token', async () => {
    await eventually('the hub', async () => (await fetch(`http://127.0.0.1:${ports.hub}/readyz`)).ok)
    const token = await command('hub', [
      'token',
      'create',
      '--site',
      'hall-1',
      '--hub',
      `http://127.0.0.1:${ports.hub}`,
    ])
    const enroll = ['enroll', '--hub', `http://127.0.0.1:${ports.hub}`, '--token-file', '-']
    expect(await command('agent', enroll, token)).toContain('site hall-1')
    await eventually('the agent', async () => (await fetch(`http://127.0.0.1:${ports.health}/readyz`)).ok)
    const client = await connectAsync(`mqtt://127.0.0.1:${ports.mqtt}`)
    await client.publishAsync('sensors/press-1/temperature', '21.5', { qos: 1 })
    await client.endAsync()
    await eventually('the reading', async () => (await seriesOf('press-1')) === 1)
  }, 120_000)

  test.each(programs)(
    '%s: every system call that was seen passes the filter of its unit',
    async program => {
      await { agent, hub }[program].stop('SIGTERM')
      const used = new Set(
        [...readFileSync(trace(program), 'utf8').matchAll(/^(?:\d+ +)?([a-z]\w*)\(/gm)].map(([, name]) => name!),
      )
      expect(used.size).toBeGreaterThan(40)
      const allowed = allowedSystemCalls(unit(program))
      expect(allowed.has('chroot') || allowed.has('mount')).toBe(false)
      expect([...used].filter(call => !allowed.has(call))).toEqual([])
    },
    60_000,
  )

  test('a hub restored from a cold copy of its folder knows its readings and its key', async () => {
    const copy = join(folder, 'hub.tar')
    execFileSync('tar', ['-C', join(folder, 'state'), '-cf', copy, 'hub'])
    rmSync(state('hub'), { recursive: true })
    execFileSync('tar', ['-C', join(folder, 'state'), '-xf', copy])
    hub = startUnit('hub', { TRIBUTARY_HUB_PORT: `${ports.hub}` })
    await eventually('the reading', async () => (await seriesOf('press-1')) === 1)
  }, 60_000)

  const state = (program: ProgramName) => join(folder, 'state', program)
  const trace = (program: ProgramName) => join(state(program), 'trace')

  async function seriesOf(device: string): Promise<number> {
    const authorization = `Bearer ${readFileSync(join(state('hub'), 'admin-key'), 'utf8').trim()}`
    const url = `http://127.0.0.1:${ports.hub}/v1/series?device=${device}`
    const { items } = (await (await fetch(url, { headers: { authorization } })).json()) as { items: unknown[] }
    return items.length
  }

  function startUnit(program: ProgramName, env: Record<string, string>): Service {
    for (const kind of ['state', 'cache']) {
      mkdirSync(join(folder, kind, program), { recursive: true })
      giveAway(join(folder, kind, program))
    }
    const service = unit(program)
    // -D: the program itself stays the process that gets the signals.
    const strace = ['strace', '-D', '-f', '-qq', '-e', 'signal=none', '-o', `${stateDirectory(service)}/trace`]
    return new Service(sandbox(program, env), [...strace, ...service.last('ExecStart').split(' ')])
  }

  function stateDirectory(service: Unit): string {
    return `/var/lib/${service.last('StateDirectory')}`
  }

  function sandbox(program: ProgramName, env: Record<string, string> = {}): ContainerOptions {
    const service = unit(program)
    // The value may hold further equals signs.
    const environment = service.all('Environment').map(pair => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)] as [string, string]
    })
    return {
      host: join(folder, 'host'),
      user: program === 'hub' ? '10001:10001' : '10002:10002',
      workdir: '/',
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', ...Object.fromEntries(environment), ...env },
      mounts: [
        { from: join(root, 'opt/tributary'), to: '/opt/tributary' },
        { from: join(root, 'etc/tributary'), to: `/etc/${service.last('ConfigurationDirectory')}` },
        { from: join(root, `usr/local/bin/tributary-${program}`), to: `/usr/local/bin/tributary-${program}` },
        { from: state(program), to: stateDirectory(service), writable: true },
        { from: join(folder, 'cache', program), to: `/var/cache/${service.last('CacheDirectory')}`, writable: true },
      ],
      tmpfs: ['/tmp'],
    }
  }

  /** The installed command, in the place of its service. */
  async function command(program: ProgramName, args: readonly string[], stdin = ''): Promise<string> {
    const { code, stdout, stderr } = await runContainer(sandbox(program), [`tributary-${program}`, ...args], stdin)
    expect(code, stderr).toBe(0)
    return stdout
  }

  async function eventually(what: string, probe: () => Promise<boolean>): Promise<void> {
    const endMs = Date.now() + 90_000
    while (!(await probe().catch(() => false))) {
      if (Date.now() > endMs)
        throw new Error(`not seen within 90 s: ${what}; hub: ${hub.output}; agent: ${agent.output}`)
      await sleep(100)
    }
  }
})
