/**
 * The command line of every Tributary program: a table of commands in, an exit code out.
 *
 * Exit codes: 0 done, 1 failed, 2 used wrongly. Results go to stdout (`--json`: one JSON document and nothing else), everything
 * else to stderr. Errors are one line that says what happened, and a second one that says what to do. Nothing here touches the
 * process: the streams, the environment and the signal come in as `Io`.
 */
import { parseArgs } from 'node:util'
import { completionScript } from './cli-completion.ts'
import { isTributaryError, messageOf, TributaryError } from './errors.ts'
import { nearest } from './nearest.ts'

export interface CommandOption {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly default?: string
  readonly help: string
  /** What stands for the value in the help: `FILE`, `N`. */
  readonly value?: string
}

export interface CommandContext {
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
  /** A line for people, on stdout; silent under `--json`. */
  readonly out: (text: string) => void
  /** The result for machines, on stdout; silent without `--json`. */
  readonly json: (value: unknown) => void
  /** A line on stderr: progress, notes. */
  readonly note: (text: string) => void
  readonly wantsJson: boolean
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
}

export interface Command {
  /** One or two words: `run`, `token create`. */
  readonly name: string
  readonly summary: string
  /** For the usage line: `<id>`, `FILE…`. Without it positional arguments are refused. */
  readonly positionals?: string
  readonly options: Readonly<Record<string, CommandOption>>
  readonly examples: readonly string[]
  run(context: CommandContext): Promise<number | undefined>
}

export interface Program {
  readonly name: string
  /** Empty for a command that has none of its own. */
  readonly version: string
  readonly summary: string
  readonly commands: readonly Command[]
}

export interface Io {
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
}

/** Run one command line (without `node` and the script's name). Never throws. */
export async function runProgram(program: Program, argv: readonly string[], io: Io): Promise<number> {
  const json = argv.includes('--json')
  try {
    return await dispatch(program, argv, io)
  } catch (error) {
    const code = isTributaryError(error) ? error.code : 'internal'
    const hint = isTributaryError(error) ? error.hint : undefined
    if (json) io.stdout(`${JSON.stringify({ error: { code, message: messageOf(error), hint } })}\n`)
    io.stderr(`${program.name}: ${messageOf(error)}\n`)
    if (hint) io.stderr(`  ${hint}\n`)
    if (code === 'internal' && io.env.TRIBUTARY_DEBUG && error instanceof Error) io.stderr(`${error.stack}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

/** The command line itself is wrong: exit code 2. */
export class UsageError extends TributaryError {}

async function dispatch(program: Program, argv: readonly string[], io: Io): Promise<number> {
  const [first] = argv
  if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
    io.stdout(programHelp(program))
    return first === undefined ? 2 : 0
  }
  if (first === '--version' || first === 'version') {
    io.stdout(`${program.name} ${program.version}\n`)
    return 0
  }
  if (first === 'completion') {
    io.stdout(completionScript(program, argv[1] ?? ''))
    return 0
  }
  const { command, rest } = findCommand(program, argv)
  if (rest.includes('--help') || rest.includes('-h')) {
    io.stdout(commandHelp(program, command))
    return 0
  }
  const { values, positionals } = parseOptions(program, command, rest)
  const wantsJson = values.json === true
  const code = await command.run({
    values,
    positionals,
    wantsJson,
    env: io.env,
    signal: io.signal,
    out: text => void (wantsJson || io.stdout(`${text}\n`)),
    json: value => void (wantsJson && io.stdout(`${JSON.stringify(value)}\n`)),
    note: text => io.stderr(`${text}\n`),
  })
  return code ?? 0
}

function findCommand(program: Program, argv: readonly string[]): { command: Command; rest: string[] } {
  for (const words of [2, 1]) {
    const command = program.commands.find(c => c.name === argv.slice(0, words).join(' '))
    if (command) return { command, rest: argv.slice(words) as string[] }
  }
  const group = program.commands.filter(c => c.name.startsWith(`${argv[0]} `)).map(c => c.name)
  if (group.length > 0) {
    throw new UsageError('unprocessable', `${argv[0]} needs one of: ${group.join(', ')}`, {
      hint: `See ${program.name} --help`,
    })
  }
  const near =
    nearest(
      argv.slice(0, 2).join(' '),
      program.commands.map(c => c.name),
    ) ??
    nearest(
      argv[0]!,
      program.commands.map(c => c.name),
    )
  throw new UsageError('unprocessable', `no command "${argv[0]}"${near ? `; did you mean "${near}"?` : ''}`, {
    hint: `See ${program.name} --help`,
  })
}

function parseOptions(program: Program, command: Command, args: string[]) {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string; default?: string }> = {
    json: { type: 'boolean' },
  }
  for (const [name, o] of Object.entries(command.options)) {
    options[name] = {
      type: o.type,
      ...(o.short && { short: o.short }),
      ...(o.default !== undefined && { default: o.default }),
    }
  }
  const hint = `See ${program.name} ${command.name} --help`
  for (const arg of args) {
    if (arg === '--') break
    const name = /^--([^=]+)/.exec(arg)?.[1]
    if (name === undefined || name in options) continue
    const near = nearest(name, Object.keys(options))
    throw new UsageError(
      'unprocessable',
      `${command.name} has no option --${name}${near ? `; did you mean --${near}?` : ''}`,
      { hint },
    )
  }
  try {
    return parseArgs({ args, options, allowPositionals: command.positionals !== undefined })
  } catch (cause) {
    throw new UsageError('unprocessable', messageOf(cause).split('. ')[0]!, { cause, hint })
  }
}

function programHelp(program: Program): string {
  const width = Math.max(...program.commands.map(c => c.name.length))
  const rows = program.commands.map(c => `  ${c.name.padEnd(width)}  ${c.summary}`)
  return [
    `${[program.name, program.version].filter(Boolean).join(' ')}: ${program.summary}`,
    '',
    `Usage: ${program.name} <command> [options]`,
    '',
    ...rows,
    `  ${'completion'.padEnd(width)}  print a completion script: completion bash|zsh|fish`,
    '',
    `${program.name} <command> --help shows options and examples; --json prints the result for machines.`,
    'Exit codes: 0 done, 1 failed, 2 used wrongly.',
    '',
  ].join('\n')
}

function commandHelp(program: Program, command: Command): string {
  const options = {
    ...command.options,
    json: { type: 'boolean', help: 'print the result as one JSON document' } as CommandOption,
  }
  const left = Object.entries(options).map(([name, o]) => {
    const short = o.short ? `-${o.short}, ` : ''
    return `${short}--${name}${o.type === 'string' ? ` ${o.value ?? 'VALUE'}` : ''}`
  })
  const width = Math.max(...left.map(l => l.length))
  const rows = Object.values(options).map(
    (o, i) => `  ${left[i]!.padEnd(width)}  ${o.help}${o.default === undefined ? '' : ` (default ${o.default})`}`,
  )
  const positionals = command.positionals ? ` ${command.positionals}` : ''
  return [
    `${program.name} ${command.name}: ${command.summary}`,
    '',
    `Usage: ${program.name} ${command.name}${positionals} [options]`,
    '',
    ...rows,
    ...(command.examples.length > 0 ? ['', 'Examples:', ...command.examples.map(e => `  ${e}`)] : []),
    '',
  ].join('\n')
}

/**
 * The process's own streams, with a signal that fires on SIGINT, SIGTERM and SIGHUP (a closed terminal), and at the end of standard
 * input where TRIBUTARY_STOP_WITH_STDIN is set: a program that starts this one holds a pipe to it, so that nothing runs on when that
 * program is killed.
 *
 * Nobody may be reading what is written, from the start or any more. That is lost, and ends nothing: a stop goes through to its end.
 */
export function processIo(): Io {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(name))
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  if (process.env.TRIBUTARY_STOP_WITH_STDIN) stopWithStdin(stop)
  return {
    stdout: text => void process.stdout.write(text),
    stderr: text => void process.stderr.write(text),
    env: process.env,
    signal: stop.signal,
  }
}

function stopWithStdin(stop: AbortController): void {
  for (const event of ['end', 'error', 'close']) process.stdin.once(event, () => stop.abort('stdin'))
  process.stdin.resume()
  // A pipe is a socket: it must not keep a program alive that is done.
  if ('unref' in process.stdin) process.stdin.unref()
}
