/** docs/lessons.md names tests and proofs: each of them is there. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { benches } from '../bench/benches.ts'
import { repository } from './harness/program.ts'
import { proofs } from './prove/proofs.ts'

const page = readFileSync(join(repository, 'docs/lessons.md'), 'utf8')
const rows = page.split('\n').filter(line => line.startsWith('| ') && !line.startsWith('| what happened'))

describe('every row of docs/lessons.md', () => {
  test.each(rows)('%s', row => {
    const named = [...row.matchAll(/`([^`]+)`/g)].map(match => match[1]!)
    expect(named).not.toEqual([])
    for (const name of named) expect(isThere(name), name).toBe(true)
  })
})

function isThere(name: string): boolean {
  const [, kind, command] = /^npm run (prove|bench) -- (\S+)$/.exec(name) ?? []
  if (kind === 'prove') return proofs.some(proof => proof.name === command)
  if (kind === 'bench') return benches.some(bench => bench.name === command)
  const [, file, text] = /^(\S+\.(?:test|suite)\.ts): (.+)$/.exec(name) ?? []
  return file !== undefined && readFileSync(join(repository, file), 'utf8').includes(text!)
}
