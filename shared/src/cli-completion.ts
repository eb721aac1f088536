/** Shell completion scripts, written from the command table: commands first, then the options of the command on the line. */
import type { Program } from './cli.ts'
import { TributaryError } from './errors.ts'

/** The script for `shell`; throws for a shell other than bash, zsh and fish. */
export function completionScript(program: Program, shell: string): string {
  switch (shell) {
    case 'bash':
      return bash(program)
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`
    case 'fish':
      return fish(program)
    default:
      throw new TributaryError('unprocessable', `no completion for "${shell}"`, {
        hint: `Use: source <(${program.name} completion bash), or zsh, or fish`,
      })
  }
}

function bash(program: Program): string {
  const fn = `_${program.name.replaceAll('-', '_')}`
  const firstWords = [...new Set(program.commands.map(c => c.name.split(' ')[0]!)), 'help', 'version', 'completion']
  const cases = program.commands.map(c => {
    const options = [...Object.keys(c.options), 'json', 'help'].map(o => `--${o}`)
    return `    "${c.name}"*) words="${options.join(' ')}" ;;`
  })
  const groups = Map.groupBy(
    program.commands.filter(c => c.name.includes(' ')),
    c => c.name.split(' ')[0]!,
  )
  for (const [word, commands] of groups) {
    cases.push(`    "${word}") words="${commands.map(c => c.name.split(' ')[1]).join(' ')}" ;;`)
  }
  return `${fn}() {
  local line="\${COMP_WORDS[*]:1:COMP_CWORD-1}" words
  case "$line" in
${cases.join('\n')}
    "") words="${firstWords.join(' ')}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F ${fn} ${program.name}
`
}

function fish(program: Program): string {
  const lines = program.commands.flatMap(c => {
    const [first, second] = c.name.split(' ')
    const head = second
      ? [`complete -c ${program.name} -n "__fish_seen_subcommand_from ${first}" -a ${second} -d ${quote(c.summary)}`]
      : [`complete -c ${program.name} -n __fish_use_subcommand -a ${first} -d ${quote(c.summary)}`]
    const options = Object.entries(c.options).map(
      ([name, o]) =>
        `complete -c ${program.name} -n "__fish_seen_subcommand_from ${second ?? first}" -l ${name}${o.type === 'string' ? ' -r' : ''} -d ${quote(o.help)}`,
    )
    return [...head, ...options]
  })
  const groups = [...new Set(program.commands.filter(c => c.name.includes(' ')).map(c => c.name.split(' ')[0]!))]
  return `${[...groups.map(g => `complete -c ${program.name} -n __fish_use_subcommand -a ${g}`), ...lines].join('\n')}\n`
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
