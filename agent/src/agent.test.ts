import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from '@tributary/shared/cli'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openPtyPair } from '../../firmware-sim/src/transports/pty.ts'
import { Agent } from './agent.ts'
import { program } from './cli/program.ts'
import { parseAgentConfig } from './config/agent-config.ts'
import { RawClient } from './sources/mqtt/raw-client.ts'

const clean: (() => Promise<unknown> | unknown)[] = []
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-agent-'))
  clean.push(() => rm(folder, { recursive: true, force: true }))
})
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

const yaml = (more = '', mqttPort = 0) =>
  `data_dir: ${folder}/data\nmqtt: {port: ${mqttPort}}\nhealth: {port: 0}\n${more}`

async function start(more = '', mqttPort = 0): Promise<Agent> {
  const agent = new Agent({
    config: parseAgentConfig(yaml(more, mqttPort), 'agent.yaml', {}),
    version: '0',
    log: pino({ level: 'silent' }),
    sabotage: new Set(),
  })
  clean.push(() => agent.stop())
  await agent.start()
  return agent
}

async function connect(agent: Agent, clientId: string): Promise<RawClient> {
  const client = await RawClient.connect(agent.mqttPort!, clientId)
  clean.push(() => client.destroy())
  return client
}

/** The command line, as a person types it, with the configuration of this test. */
async function cli(more: string, ...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = join(folder, 'agent.yaml')
  await writeFile(file, yaml(more))
  return commandLine(...argv, '--config', file)
}

async function commandLine(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', '']
  const code = await runProgram(program, argv, {
    stdout: text => {
      stdout += text
    },
    stderr: text => {
      stderr += text
    },
    env: {},
    signal: new AbortController().signal,
  })
  return { code, stdout, stderr }
}

async function get(
  agent: Agent,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest({ host: '127.0.0.1', port: agent.healthPort!, path, headers }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve({ code: response.statusCode ?? 0, text }))
    })
    asked.on('error', reject)
    asked.end()
  })
}

describe('the agent', () => {
  it('without an enrolment keeps readings, over a restart too', async () => {
    const first = await start()
    const client = await connect(first, 'c')
    client.publish('sensors/p', '{"a":1,"b":2}')
    await client.next('puback')
    await first.stop()
    const second = await start()
    expect(await second.status()).toMatchObject({
      enrolment: null,
      uplink: null,
      buffer: { backlogReadings: 2, counters: { accepted: 2, stored: 2 } },
    })
  })

  it('keeps what it holds whatever changes in its configuration', async () => {
    const first = await start()
    const client = await connect(first, 'c')
    client.publish('sensors/p', '{"a":1,"b":2}')
    await client.next('puback')
    await first.stop()
    const changed = `name: renamed
hub: {url: 'https://elsewhere.example'}
buffer: {storage: sd, max_bytes: 8MiB, max_group_readings: 1}
brokers: [{name: plant, url: 'mqtt://127.0.0.1:9', topics: ['a/#']}]
decode: {routes: [{topic: 'other/{device}'}]}
`
    const second = await start(changed)
    expect(await second.status()).toMatchObject({ buffer: { backlogReadings: 2, counters: { stored: 2, evicted: 0 } } })
  })

  it('recognises a message told again after a restart', async () => {
    const first = await start()
    const client = await connect(first, 'c')
    client.publish('sensors/p/t', '1', { messageId: 5 })
    client.publish('sensors/p/t', '2', { messageId: 6, qos: 2 })
    await client.next('puback')
    await client.next('pubrec')
    await first.stop()
    const second = await start()
    const again = await connect(second, 'c')
    again.publish('sensors/p/t', '1', { messageId: 5, dup: true })
    again.publish('sensors/p/t', '2', { messageId: 6, qos: 2, dup: true })
    await again.next('puback')
    await again.next('pubrec')
    again.send({ cmd: 'pubrel', messageId: 6 })
    await again.next('pubcomp')
    expect((await second.status()).buffer.counters).toMatchObject({ accepted: 2, stored: 2 })
  })

  it('stops with everything it started when one part cannot start', async () => {
    const first = await start()
    await expect(start(`buffer: {max_receipts: 10}`)).rejects.toMatchObject({ code: 'in-use' })
    const port = first.mqttPort!
    const other = join(folder, 'other')
    const config = parseAgentConfig(`data_dir: ${other}\nmqtt: {port: ${port}}\nhealth: {port: 0}\n`, 'agent.yaml', {})
    const options = { version: '0', log: pino({ level: 'silent' }), sabotage: new Set<never>() }
    await expect(new Agent({ ...options, config }).start()).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringContaining(String(port)),
    })
    const free = new Agent({ ...options, config: { ...config, mqtt: { ...config.mqtt, port: 0 } } })
    clean.push(() => free.stop())
    await free.start()
    const client = await connect(first, 'c')
    client.publish('sensors/p/t', '1')
    await client.next('puback')
  })

  it('goes on with what can be heard while a port is taken, a broker refuses and a line is not there', async () => {
    const taken = createServer(socket => socket.destroy())
    await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
    clean.push(() => taken.close())
    const { port } = taken.address() as AddressInfo
    const line = await openPtyPair()
    clean.push(() => line.close())
    const agent = await start(
      `serial: [{name: here, path: ${line.path}, device: press}, {name: gone, path: ${folder}/none}]
brokers: [{name: plant, url: 'mqtt://127.0.0.1:${port}', topics: [a/#]}]
`,
      port,
    )
    line.master.write('{"temp":1}\n')
    await vi.waitFor(async () => expect((await agent.status()).buffer.counters.stored).toBe(1))
    const states = async () => Object.fromEntries((await agent.status()).sources.map(one => [one.name, one.state]))
    await vi.waitFor(async () =>
      expect(await states()).toEqual({
        mqtt: 'waiting',
        'broker:plant': 'waiting',
        'serial:here': 'running',
        'serial:gone': 'waiting',
      }),
    )
    const health = `http://127.0.0.1:${agent.healthPort}`
    expect(await (await fetch(`${health}/readyz`)).json()).toMatchObject({
      ready: false,
      reasons: [expect.stringContaining('mqtt is waiting')],
    })
    expect(await (await fetch(`${health}/metrics`)).text()).toMatch(
      /tributary_agent_source_failures_total\{source="mqtt"\} [1-9]/,
    )
    await expect(start()).rejects.toMatchObject({ code: 'in-use', message: expect.stringContaining('data') })
  })

  it('a data folder that cannot be written is named, with what to do', async () => {
    await writeFile(join(folder, 'file'), '')
    const config = parseAgentConfig(`data_dir: ${folder}/file/data\n`, 'agent.yaml', {})
    await expect(
      new Agent({ config, version: '0', log: pino({ level: 'silent' }), sabotage: new Set() }).start(),
    ).rejects.toMatchObject({
      code: 'storage',
      message: expect.stringContaining(`${folder}/file/data`),
      hint: expect.stringContaining('data_dir'),
    })
  })
})

describe('health', () => {
  it('answers /healthz, /readyz, /status and /metrics', async () => {
    const agent = await start()
    const client = await connect(agent, 'c')
    client.publish('sensors/p/t', '1')
    client.publish('sensors/p/t', 'no', { messageId: 2 })
    await client.next('puback')
    await client.next('puback')
    expect((await get(agent, '/healthz')).code).toBe(200)
    expect(await get(agent, '/readyz')).toMatchObject({ code: 200, text: '{"ready":true,"reasons":[]}\n' })
    expect(JSON.parse((await get(agent, '/status')).text)).toMatchObject({
      buffer: { backlogReadings: 1, deadLetters: 1 },
      sabotage: [],
    })
    const { text } = await get(agent, '/metrics')
    for (const line of [
      'tributary_agent_messages_total{source="mqtt"} 2',
      'tributary_agent_undecoded_total{source="mqtt"} 1',
      'tributary_agent_buffer_backlog_readings 1',
      'tributary_agent_commit_seconds_count 1',
      'tributary_agent_enrolled 0',
      'tributary_agent_uplink_state{state="stopped"} 1',
    ]) {
      expect(text).toContain(`${line}\n`)
    }
    expect(text).toMatch(/tributary_agent_process_resident_memory_bytes \d/)
    expect((await get(agent, '/nothing')).code).toBe(404)
  })

  it('keeps dead letters from web pages', async () => {
    const agent = await start()
    expect((await get(agent, '/dead-letters')).code).toBe(200)
    expect((await get(agent, '/dead-letters', { host: 'evil.example:9108' })).code).toBe(403)
  })
})

describe('the command line', () => {
  it('a typo in the configuration is shown with its place and the name that was meant', async () => {
    const { code, stderr } = await cli('bufer: {}\n', 'config', 'check')
    expect(code).toBe(1)
    expect(stderr).toMatch(/unknown key `bufer` at .*agent\.yaml:4:1; did you mean `buffer`\?/)
  })

  it('config check looks beyond the keys', async () => {
    expect(await cli('', 'config', 'check')).toMatchObject({ code: 0, stdout: 'the configuration is good\n' })
    expect((await cli('buffer: {max_bytes: 1MiB}\n', 'config', 'check')).stderr).toBe('')
    for (const [more, what] of [
      ['hub: {url: "http://other.example"}\n', 'plain http'],
      ['decode: {routes: [{topic: "a/{b}"}]}\n', 'cannot be used'],
      ['buffer: {max_bytes: 2MiB, file_bytes: 1MiB}\n', 'fileBytes'],
    ] as const) {
      const { code, stderr } = await cli(more, 'config', 'check')
      expect([code, stderr]).toEqual([1, expect.stringContaining(what)])
    }
  })

  it('a password file without users is refused: it would let everyone in', async () => {
    const file = join(folder, 'users')
    await writeFile(file, '\n')
    const yamlFile = join(folder, 'agent.yaml')
    await writeFile(yamlFile, `data_dir: ${folder}/data\nmqtt: {password_file: ${file}}\n`)
    const { code, stderr } = await commandLine('config', 'check', '--config', yamlFile)
    expect(code).toBe(1)
    expect(stderr).toMatch(/names no user: everyone could connect/)
  })

  it('status tells of the running agent, and says when there is none', async () => {
    expect(await cli('', 'status')).toMatchObject({ code: 1, stderr: expect.stringContaining('no agent runs') })
    await start()
    const { code, stdout } = await cli('', 'status')
    expect(code).toBe(0)
    expect(stdout).toMatch(/not enrolled/)
    expect(JSON.parse((await cli('', 'status', '--json')).stdout)).toMatchObject({ buffer: { writable: true } })
  })

  it('dead letters are listed, shown, replayed after a fix and dropped, by a running agent or without one', async () => {
    const agent = await start()
    const client = await connect(agent, 'c')
    for (const [index, topic] of ['plant/p/a', 'plant/p/b', 'elsewhere/x'].entries()) {
      client.publish(topic, String(index), { messageId: index + 1 })
      await client.next('puback')
    }
    const letters = JSON.parse((await cli('', 'deadletter', 'list', '--json')).stdout)
    expect(letters.map(({ origin, reason, payload }: Record<string, unknown>) => [origin, reason, payload])).toEqual([
      ['plant/p/a', 'unmapped topic', '0'],
      ['plant/p/b', 'unmapped topic', '1'],
      ['elsewhere/x', 'unmapped topic', '2'],
    ])
    const [first, , last] = letters.map(({ id }: { id: number }) => String(id))
    expect((await cli('', 'deadletter', 'show', first)).stdout).toMatch(/plant\/p\/a[\s\S]*payload {3}0/)
    expect((await cli('', 'deadletter', 'replay', '--all')).code).toBe(1)
    expect((await cli('', 'deadletter', 'drop', last)).stdout).toBe('1 dropped\n')
    await agent.stop()
    const routes = 'decode: {routes: [{topic: "plant/{device}/{metric}"}]}\n'
    expect(await cli(routes, 'deadletter', 'replay', '--all')).toMatchObject({
      code: 0,
      stdout: '2 replayed, 2 readings stored\n',
    })
    expect((await cli(routes, 'deadletter', 'list')).stdout).toBe('no dead letters\n')
    expect((await (await start()).status()).buffer).toMatchObject({ backlogReadings: 2, deadLetters: 0 })
  })

  it('enroll asks for a hub and a token, and takes no token from argv', async () => {
    expect((await cli('', 'enroll')).stderr).toMatch(/no hub is named/)
    expect((await cli('', 'enroll', '--hub', 'http://127.0.0.1:9')).stderr).toMatch(/no token is given/)
    expect(await cli('', 'enroll', '--token', 'tet_x')).toMatchObject({ code: 2 })
  })
})
