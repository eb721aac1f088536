/** What Docker sends from the repository to a build: .dockerignore, where the last pattern that fits a path or a folder above it decides. */
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { repository } from './tools.ts'

const patterns = readFileSync(join(repository, '.dockerignore'), 'utf8')
  .split('\n')
  .filter(line => line.trim() !== '' && !line.startsWith('#'))
  .map(line => ({ keeps: line.startsWith('!'), expression: expressionOf(line.replace(/^!/, '')) }))

/** `path` is relative to the repository. */
export function inContext(path: string): boolean {
  const parts = path.split('/')
  const above = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
  return patterns.findLast(({ expression }) => above.some(folder => expression.test(folder)))?.keeps ?? true
}

/** COPY of one source. Throws, as a build would, for what is not in the context. */
export function copyFromContext(source: string, to: string): void {
  const from = join(repository, source)
  if (!inContext(source) || !existsSync(from)) throw new Error(`COPY ${source}: not in the build context`)
  cpSync(from, to, { recursive: true, filter: path => inContext(relative(repository, path)) })
}

/** `**` + slash: any folders or none; `*`: within one name. */
function expressionOf(pattern: string): RegExp {
  const parts = pattern.split('**/').map(part => part.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*'))
  return new RegExp(`^${parts.join('(?:.*/)?')}$`)
}
