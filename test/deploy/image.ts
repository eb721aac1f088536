/**
 * An image without a Docker engine: the build stage of a Dockerfile carried out in a folder of this machine, and what its last stage
 * copies from there. The account, and the base image's own files, are left to the sandbox that runs it (container.ts).
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { copyFromContext } from './build-context.ts'
import { type ImageConfig, type Instruction, imageConfig, readStages } from './dockerfile.ts'
import { repository } from './tools.ts'

export interface Image {
  readonly config: ImageConfig
  /** Base of the last stage: `node:24.21.0-bookworm-slim`. */
  readonly base: string
  /** Holds what the last stage copied, under the paths that it has in the image. */
  readonly root: string
}

export function dockerfileOf(program: string): string {
  return join(repository, `deploy/docker/${program}.Dockerfile`)
}

/** `folder` must not exist yet. */
export function buildImage(program: string, folder: string): Image {
  const [build, last, ...more] = readStages(dockerfileOf(program))
  if (build === undefined || last === undefined || more.length > 0) throw new Error('two stages are expected')
  const stages = { [build.name ?? '']: join(folder, 'build') }
  const root = join(folder, 'image')
  for (const instruction of build.instructions) apply(instruction, stages, join(folder, 'build', workdirOf(build)))
  for (const instruction of last.instructions) {
    if (instruction.keyword === 'COPY') apply(instruction, stages, join(root, workdirOf(last)))
  }
  return { config: imageConfig(last), base: last.base, root }
}

function workdirOf(stage: Parameters<typeof imageConfig>[0]): string {
  return imageConfig(stage).workdir
}

function apply({ keyword, flags, words }: Instruction, stages: Record<string, string>, workdir: string): void {
  mkdirSync(workdir, { recursive: true })
  if (keyword === 'COPY') copy(words, flags.from === undefined ? null : stages[flags.from]!, workdir)
  else if (keyword === 'RUN') run(words, workdir)
  else if (keyword !== 'WORKDIR') throw new Error(`${keyword} is not expected in a build stage`)
}

function copy(words: readonly string[], stage: string | null, workdir: string): void {
  const [sources, target = ''] = [words.slice(0, -1), words.at(-1)]
  for (const source of sources) {
    const from = join(stage ?? repository, source)
    // Of a folder its contents are copied; a file goes into the folder that the target names.
    const isFile = statSync(from, { throwIfNoEntry: false })?.isFile() === true
    const to = isFile && target.endsWith('/') ? join(workdir, target, basename(source)) : resolve(workdir, target)
    mkdirSync(dirname(to), { recursive: true })
    if (stage === null) copyFromContext(source, to)
    else cpSync(from, to, { recursive: true, verbatimSymlinks: true })
  }
}

/** With the Node that the base image has, found in front of every other. */
function run(words: readonly string[], workdir: string): void {
  const [command = '', ...args] = words
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
  execFileSync(command, args, { cwd: workdir, env, stdio: 'pipe' })
}
