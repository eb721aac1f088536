import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { type Command, type Program, runProgram } from './cli.ts'
import { TributaryError } from './errors.ts'
import { nearest } from './nearest.ts'

const seen: unknown[] = []
const create: Command = {
  name: 'token create',
  summary: 'make a token',
  options: {
    site: { type: 'string', help: 'where', default: 'main', value: 'SITE' },
    force: { type: 'boolean', help: 'do it' },
  },
  examples: ['prog token create --site plant-1'],
  async run(c) {
    seen.push(c.values.site, c.positionals)
    c.out('made')
    c.json({ made: true })
    return undefined
  },
}
const broken: Command = {
  name: 'run',
  summary: 'fails',
  positionals: 'FILE',
  options: {},
  examples: [],
  run: async () => {
    throw new TributaryError('in-use', 'port 1 is taken', { hint: 'choose another' })
  },
}
const program: Program = { name: 'prog', version: '1.2.3', summary: 'a test', commands: [create, broken] }

async function run(...argv: string[]) {
  const stdout: string[] = []
  const stderr: string[] = []
  const io = {
    stdout: (t: string) => void stdout.push(t),
    stderr: (t: string) => void stderr.push(t),
    env: {},
    signal: new AbortController().signal,
  }
  const code = await runProgram(program, argv, io)
  return { code, stdout: stdout.join(''), stderr: stderr.join('') }
}

describe('a command line', () => {
  test('runs the named command with defaults and prints for people', async () => {
    expect(await run('token', 'create')).toEqual({ code: 0, stdout: 'made\n', stderr: '' })
    expect(seen[0]).toBe('main')
  })
  test('prints one JSON document and nothing else under --json', async () => {
    expect((await run('token', 'create', '--json')).stdout).toBe('{"made":true}\n')
  })
  test('a failure is exit code 1, its message and its hint on stderr', async () => {
    expect(await run('run')).toEqual({ code: 1, stdout: '', stderr: 'prog: port 1 is taken\n  choose another\n' })
  })
  test('a failure under --json is a JSON document too', async () => {
    expect(JSON.parse((await run('run', '--json')).stdout)).toEqual({
      error: { code: 'in-use', message: 'port 1 is taken', hint: 'choose another' },
    })
  })
  test('a mistyped command or option is exit code 2 with the nearest known name', async () => {
    const command = await run('token', 'creat')
    expect(command.code).toBe(2)
    const option = await run('token', 'create', '--sit', 'x')
    expect(option.code).toBe(2)
    expect(option.stderr).toContain('did you mean --site?')
    expect((await run('runn')).stderr).toContain('did you mean "run"?')
  })
  test('a positional argument is refused where the command takes none', async () => {
    expect((await run('token', 'create', 'x')).code).toBe(2)
  })
  test('help lists commands; a command lists options, defaults and examples', async () => {
    expect((await run('--help')).stdout).toContain('token create  make a token')
    const help = (await run('token', 'create', '--help')).stdout
    expect(help).toContain('--site SITE')
    expect(help).toContain('(default main)')
    expect(help).toContain('prog token create --site plant-1')
  })
  test('the bash completion script is valid bash and completes a second word', async () => {
    const { stdout } = await run('completion', 'bash')
    const script = `${stdout}\nCOMP_WORDS=(prog token ''); COMP_CWORD=2; _prog; echo "\${COMPREPLY[@]}"`
    expect(execFileSync('bash', ['-c', script], { encoding: 'utf8' })).toBe('create\n')
  })
})

test('the nearest name is found across a swap of letters, and nothing far away is suggested', () => {
  expect(nearest('ulpink', ['uplink', 'buffer'])).toBe('uplink')
  expect(nearest('zzz', ['uplink', 'buffer'])).toBeNull()
})
