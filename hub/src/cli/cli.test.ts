// The command line against a hub that runs.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from '@tributary/shared/cli'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseHubConfig } from '../config/hub-config.ts'
import type { Database } from '../database/database.ts'
import { testDatabase } from '../database/test-database.ts'
import { enrolledGateway } from '../http/test-hub.ts'
import { type Hub, startHub } from '../hub.ts'
import { program } from './program.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-cli-'))
let database: Database
let hub: Hub

beforeAll(async () => {
  database = await testDatabase({ connections: 20 })
  const config = parseHubConfig('listen: {port: 0}', 'hub.yaml', { TRIBUTARY_DATA_DIR: folder })
  hub = await startHub({ config, database, logger: pino({ level: 'silent' }) })
})
afterAll(async () => {
  await hub?.stop()
  await database.close()
  rmSync(folder, { recursive: true })
})

async function run(args: string, env: NodeJS.ProcessEnv = { TRIBUTARY_DATA_DIR: folder, TRIBUTARY_HUB_URL: hub.url }) {
  const stdout: string[] = []
  const stderr: string[] = []
  const io = {
    stdout: (text: string) => void stdout.push(text),
    stderr: (text: string) => void stderr.push(text),
    env,
    signal: new AbortController().signal,
  }
  const code = await runProgram(program, args.split(' '), io)
  return { code, stdout: stdout.join(''), stderr: stderr.join('') }
}

test('a token is created, listed, used, and revoked', async () => {
  const created = await run('token create --site mill --labels line=3,hall=b --uses 2 --json')
  const { token, tokenId } = JSON.parse(created.stdout) as { token: string; tokenId: string }
  const { agentId } = await enrolledGateway((path, init) => fetch(hub.url + path, init), token)
  expect((await run('token list')).stdout).toMatch(new RegExp(`${tokenId} +mill +1/2 +until 20`))
  expect((await run('agents list --site mill')).stdout).toContain(agentId)
  expect((await run(`token revoke ${tokenId}`)).code).toBe(0)
  expect((await run('token list')).stdout).toMatch(new RegExp(`${tokenId} +mill +1/2 +revoked`))
  const [agent] = JSON.parse((await run('agents list --json')).stdout) as { labels: object }[]
  expect(agent!.labels).toEqual({ line: '3', hall: 'b' })
})

test('a recall is asked for and listed', async () => {
  const created = await run('token create --site recalls --json')
  const { token } = JSON.parse(created.stdout) as { token: string }
  const { agentId } = await enrolledGateway((path, init) => fetch(hub.url + path, init), token)
  await database.pool.query(
    `insert into series (agent_no, device, metric) select agent_no, 'press', 'force' from agent where agent_id = $1`,
    [agentId],
  )
  const span = '--from 2026-01-01T10:00:00Z --to 2026-01-01T10:05:00Z'
  const made = await run(`agents recall ${agentId} --device press --metric force ${span}`)
  expect(made.stdout).toMatch(/^Recall \d+ is open\.\n$/)
  expect((await run(`agents recalls ${agentId}`)).stdout).toMatch(/press +force +2026-01-01T10:00:00.* open/)
  const without = await run(`agents recall ${agentId} --device press ${span}`)
  expect(without).toMatchObject({ code: 2, stdout: '' })
  expect(without.stderr).toContain('--metric is missing')
})

test('the token alone is on stdout, what it is good for on stderr', async () => {
  const { stdout, stderr } = await run('token create --site mill --expires 15m')
  expect(stdout).toMatch(/^tet_[a-z2-7]{12}_[A-Za-z0-9_-]{43}\n$/)
  expect(stderr).toMatch(/^Enrols one gateway until .* It is not shown again\.\n$/)
})

test('an agent gets a token for a new key, and is revoked', async () => {
  const { stdout } = await run('token create')
  const { agentId } = await enrolledGateway((path, init) => fetch(hub.url + path, init), stdout.trim())
  expect((await run(`agents rotate ${agentId}`)).stdout).toMatch(/^tet_/)
  expect((await run(`agents revoke ${agentId}`)).stdout).toBe(`Agent ${agentId} is revoked.\n`)
  const again = await run(`agents rotate ${agentId}`)
  expect(again).toMatchObject({ code: 1, stdout: '' })
  expect(again.stderr).toContain(`agent ${agentId} was revoked`)
})

test('lists longer than a page are whole', async () => {
  await database.pool.query(
    `insert into agent (agent_id, site, name) select 'ag-' || lpad(i::text, 20, 'a'), 'many', 'n' from generate_series(1, 1500) i`,
  )
  const agents = JSON.parse((await run('agents list --site many --json')).stdout) as unknown[]
  expect(agents).toHaveLength(1500)
})

test('the key comes from the environment or a file, never from an argument', async () => {
  const key = readFileSync(hub.adminKeyFile!, 'utf8').trim()
  expect((await run('token list', { TRIBUTARY_HUB_URL: hub.url, TRIBUTARY_ADMIN_KEY: key })).code).toBe(0)
  expect((await run(`token list --hub ${hub.url} --data ${folder}`, {})).code).toBe(0)
  const without = await run(`token list --hub ${hub.url} --data ${folder}/nowhere`, {})
  expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining('--data DIR, or set TRIBUTARY_ADMIN_KEY') })
  const wrong = await run('token list', { TRIBUTARY_HUB_URL: hub.url, TRIBUTARY_ADMIN_KEY: `tak_${'A'.repeat(43)}` })
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown or revoked') })
})

test('no hub at the address is said with what to do', async () => {
  const { code, stderr } = await run(`token list --hub http://127.0.0.1:9 --data ${folder}`, {})
  expect(code).toBe(1)
  expect(stderr).toMatch(/no hub answers at http:\/\/127\.0\.0\.1:9 \(.+\)\n {2}Start it with tributary-hub serve/)
})

test.each([
  ['token create --expires soon', 2],
  ['token create --labels x', 2],
  ['token create --uses 0', 1],
  ['agents revoke', 2],
])('%s is refused with the option’s name or what is missing, exit code %i', async (args, expected) => {
  const { code, stderr } = await run(args)
  expect(code).toBe(expected)
  expect(stderr).toMatch(/--expires|--labels|uses|give the id/)
})

test('every command has help with examples', async () => {
  for (const { name, examples } of program.commands) {
    expect((await run(`${name} --help`)).stdout).toContain(examples[0])
  }
})

test('openapi prints a document of version 3.1 without a hub', async () => {
  const { stdout } = await run('openapi', {})
  expect(JSON.parse(stdout)).toMatchObject({ openapi: '3.1.0' })
})
