/**
 * What a Dockerfile says, in the part of the language that the Dockerfiles of deploy/docker use: exec form for RUN, CMD and
 * ENTRYPOINT where it matters, one variable or label after the other, no heredocs.
 */
import { readFileSync } from 'node:fs'

export interface Instruction {
  readonly keyword: string
  /** `--from=build`, without the dashes. */
  readonly flags: Readonly<Record<string, string>>
  /** As written, lines joined, flags left out. */
  readonly text: string
  /** The words of an exec form or of a plain list. */
  readonly words: readonly string[]
}

export interface Stage {
  readonly base: string
  readonly name: string | null
  readonly instructions: readonly Instruction[]
}

/** What `docker run` takes from the last stage. */
export interface ImageConfig {
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly user: string
  readonly workdir: string
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly healthcheck: readonly string[]
  readonly stopSignal: string
  readonly volumes: readonly string[]
}

export function readStages(file: string): Stage[] {
  const stages: { base: string; name: string | null; instructions: Instruction[] }[] = []
  for (const instruction of instructions(readFileSync(file, 'utf8'))) {
    const [base = '', , name = null] = instruction.words
    if (instruction.keyword === 'FROM') stages.push({ base, name, instructions: [] })
    else stages.at(-1)!.instructions.push(instruction)
  }
  return stages
}

export function imageConfig(stage: Stage): ImageConfig {
  const last = (keyword: string) => stage.instructions.findLast(one => one.keyword === keyword)
  const all = (keyword: string) => stage.instructions.filter(one => one.keyword === keyword)
  return {
    env: pairs(all('ENV')),
    labels: pairs(all('LABEL')),
    user: last('USER')?.text ?? '0:0',
    workdir: last('WORKDIR')?.text ?? '/',
    entrypoint: execForm(last('ENTRYPOINT')),
    command: execForm(last('CMD')),
    healthcheck: execForm(last('HEALTHCHECK'), 'CMD '),
    stopSignal: last('STOPSIGNAL')?.text ?? 'SIGTERM',
    volumes: all('VOLUME').flatMap(({ words }) => words),
  }
}

function instructions(text: string): Instruction[] {
  return text
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(parseInstruction)
}

function parseInstruction(line: string): Instruction {
  const [, keyword = '', given = '', rest = ''] = /^(\w+)\s+((?:--\S+\s+)*)(.*)$/.exec(line) ?? []
  const flags = Object.fromEntries([...given.matchAll(/--([\w-]+)=(\S+)/g)].map(([, name, value]) => [name, value]))
  const text = rest.trim()
  return { keyword, flags, text, words: text.startsWith('[') ? JSON.parse(text) : text.split(/\s+/) }
}

/** Shell form would put a shell between Docker and the program, which then hears no signal. */
function execForm(instruction: Instruction | undefined, before = ''): string[] {
  const text = instruction?.text ?? `${before}[]`
  if (!text.startsWith(`${before}[`)) throw new Error(`${instruction?.keyword} is not in exec form: ${text}`)
  return JSON.parse(text.slice(before.length))
}

function pairs(found: readonly Instruction[]): Record<string, string> {
  const assignment = /([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g
  return Object.fromEntries(
    found.flatMap(({ text }) => [...text.matchAll(assignment)].map(m => [m[1]!, m[2] ?? m[3] ?? ''])),
  )
}
