import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from './database.ts'
import { EmbeddedPostgres } from './embedded-postgres.ts'
import { postgresAccount } from './postgres-account.ts'
import { platformPackage, postgresTree } from './postgres-tree.ts'
import { findPostmaster, isAlive } from './postmaster.ts'

async function ask<T>(connectionString: string, sql: string): Promise<T> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    return rows[0]?.[0] as T
  } finally {
    await client.end()
  }
}

/** A hub of its own that starts Postgres, says its pid, and runs until it is killed. */
async function otherHub(dataDir: string): Promise<{ hub: ChildProcess; pid: number }> {
  const program = `
    import { EmbeddedPostgres } from ${JSON.stringify(join(import.meta.dirname, 'embedded-postgres.ts'))}
    const postgres = await EmbeddedPostgres.start({ dataDir: ${JSON.stringify(dataDir)} })
    console.log(postgres.pid)
    setInterval(() => undefined, 1000)`
  const hub = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(hub.stdout, 'data')) as [Buffer]
  return { hub, pid: Number(line.toString()) }
}

// mkdtemp makes the folder 0700: as root this is the 0700 home that the lent account cannot enter.
describe('one data folder', () => {
  let dataDir: string
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'tributary-pg-'))
  })
  afterAll(async () => {
    await rm(dataDir, { recursive: true, force: true })
  })

  test('listens on loopback only, keeps every durability setting on, and needs the password', async () => {
    await using postgres = await EmbeddedPostgres.start({ dataDir })
    const show = (name: string) => ask(postgres.connectionString(), `show ${name}`)
    expect(await show('listen_addresses')).toBe('127.0.0.1')
    expect(await show('unix_socket_directories')).toBe('')
    for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) expect(await show(setting)).toBe('on')
    expect(await show('timezone')).toBe('UTC')
    expect(await show('server_encoding')).toBe('UTF8')
    expect((await stat(join(dataDir, 'postgres', 'password'))).mode & 0o777).toBe(0o600)
    const wrong = new URL(postgres.connectionString())
    wrong.password = 'guess'
    await expect(ask(wrong.href, 'select 1')).rejects.toThrow('password authentication failed')
  })

  test('a killed hub leaves Postgres running, and the next hub adopts it with its data', async () => {
    const { hub, pid } = await otherHub(dataDir)
    hub.kill('SIGKILL')
    await once(hub, 'exit')
    expect(isAlive(pid)).toBe(true)
    const postgres = await EmbeddedPostgres.start({ dataDir })
    expect(postgres.pid).toBe(pid)
    expect(postgres.owned).toBe(true)
    await postgres.stop()
    expect(isAlive(pid)).toBe(false)
  })

  test('a second hub on the folder is refused by name; a command beside it shares the server and leaves it running', async () => {
    const { hub, pid } = await otherHub(dataDir)
    try {
      await expect(EmbeddedPostgres.start({ dataDir })).rejects.toMatchObject({
        code: 'in-use',
        message: expect.stringContaining(join(dataDir, 'postgres')),
      })
      const command = await openDatabase({ dataDir, share: true })
      expect((await command.pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
      expect(command.embedded?.owned).toBe(false)
      await command.close()
      expect(isAlive(pid)).toBe(true)
    } finally {
      hub.kill('SIGKILL')
      await once(hub, 'exit')
    }
    await (await EmbeddedPostgres.start({ dataDir })).stop()
  })

  test('a start that fails after the server is up does not leave it running', async () => {
    const file = join(dataDir, 'postgres', 'password')
    const password = await readFile(file, 'utf8')
    await writeFile(file, 'another one')
    await expect(EmbeddedPostgres.start({ dataDir })).rejects.toThrow('password authentication failed')
    expect(findPostmaster(join(dataDir, 'postgres', 'data'))).toBeNull()
    await writeFile(file, password)
  })

  test('a server that dies is started again on its port, and the pool finds it', async () => {
    const failures: Error[] = []
    const database = await openDatabase({ dataDir, onFailed: error => failures.push(error) })
    const postgres = database.embedded!
    const { pid, port } = postgres
    process.kill(pid, 'SIGKILL')
    while (postgres.pid === pid) await sleep(20)
    expect(postgres.port).toBe(port)
    expect((await database.pool.query('select count(*) as n from agent')).rows).toEqual([{ n: 0 }])
    expect(failures).toEqual([])
    await database.close()
  })

  test('a pid file left over from a crash does not stop the start, whoever has that number', async () => {
    const file = join(dataDir, 'postgres', 'data', 'postmaster.pid')
    for (const pid of [process.pid, 4_194_303]) {
      await writeFile(file, `${pid}\n/nowhere\n1\n5432\n\n127.0.0.1\n0 0\nready   \n`)
      await using postgres = await EmbeddedPostgres.start({ dataDir })
      expect(await ask(postgres.connectionString(), 'select 1')).toBe(1)
    }
    expect(findPostmaster(join(dataDir, 'postgres', 'data'))).toBe(null)
  })

  test('a folder of another major version is refused with the commands to move it', async () => {
    const file = join(dataDir, 'postgres', 'data', 'PG_VERSION')
    const own = await readFile(file, 'utf8')
    await writeFile(file, '15\n')
    await expect(EmbeddedPostgres.start({ dataDir })).rejects.toMatchObject({
      code: 'unsupported-version',
      hint: expect.stringContaining('pg_dump'),
    })
    await writeFile(file, own)
  })
})

test('two hubs that start at once on a new folder make one server, and one of them is refused', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'tributary-pg-'))
  const results = await Promise.allSettled([{ dataDir }, { dataDir }].map(options => EmbeddedPostgres.start(options)))
  const started = results.filter(result => result.status === 'fulfilled')
  expect(started).toHaveLength(1)
  await started[0]?.value.stop()
  await rm(dataDir, { recursive: true, force: true })
})

test('programs that the account cannot run where they stand are copied once, with their links', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-tree-'))
  await chmod(folder, 0o755)
  const { native, version } = await platformPackage()
  const broken = join(folder, 'native')
  await cp(native, broken, { recursive: true, filter: path => !path.endsWith('.so.60') && !path.endsWith('.a') })
  await symlink('nowhere', join(broken, 'lib', 'libicuuc.so.60')) // makes the programs fail where they stand
  const steps: string[] = []
  const account = postgresAccount(join(folder, 'none'))
  const closed = join(folder, 'closed')
  await mkdir(closed, { mode: 0o700 })
  const copies = ['/etc/passwd/x', closed, join(folder, 'copy')]
  const prepare = () => postgresTree(account, copies, step => steps.push(step), { native: broken, version })
  await expect(prepare()).rejects.toMatchObject({ code: 'not-supported' })
  await rm(join(broken, 'lib', 'libicuuc.so.60'))
  if (account === null) return rm(folder, { recursive: true, force: true }) // only root lends an account
  await chmod(join(broken, 'bin'), 0o600)
  const tree = await prepare()
  expect(tree.bin).toBe(join(folder, 'copy', `postgres-${version}`, 'bin'))
  expect(await readdir(closed)).toEqual([])
  steps.length = 0
  expect(await prepare()).toEqual(tree)
  expect(steps).toEqual([])
  await rm(folder, { recursive: true, force: true })
})
