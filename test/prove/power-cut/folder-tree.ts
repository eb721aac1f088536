/** A real folder as a tree of the disk model, and back. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Entry, Tree } from './disk-model.ts'

export interface FoundTree {
  readonly tree: Tree
  readonly inodes: ReadonlyMap<string, number>
}

export function readTree(folder: string): FoundTree {
  const tree = new Map<string, Entry>()
  const inodes = new Map<string, number>()
  const visit = (path: string) => {
    const found = statSync(join(folder, path))
    const mode = found.mode & 0o7777
    inodes.set(path, found.ino)
    if (found.isDirectory()) {
      tree.set(path, { kind: 'folder', mode })
      for (const name of readdirSync(join(folder, path))) visit(path === '' ? name : `${path}/${name}`)
    } else tree.set(path, { kind: 'file', mode, bytes: readFileSync(join(folder, path)) })
  }
  visit('')
  return { tree, inodes }
}

/** Make the folder, which stays, hold what the tree holds and nothing else. */
export function writeTree(folder: string, tree: Tree): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true })
  for (const [path, entry] of tree) {
    const full = join(folder, path)
    if (entry.kind === 'folder') mkdirSync(full, { recursive: true })
    else writeFileSync(full, entry.bytes)
    chmodSync(full, entry.mode)
  }
}

/** The paths at which two trees differ, with what is different. */
export function differences(a: Tree, b: Tree): string[] {
  const found: string[] = []
  for (const path of new Set([...a.keys(), ...b.keys()])) {
    const [one, other] = [a.get(path), b.get(path)]
    if (one?.kind !== other?.kind) found.push(`${path}: ${one?.kind ?? 'nothing'} and ${other?.kind ?? 'nothing'}`)
    else if (one?.kind === 'file' && other?.kind === 'file' && Buffer.compare(one.bytes, other.bytes) !== 0)
      found.push(`${path}: contents of ${one.bytes.length} and ${other.bytes.length} bytes`)
  }
  return found
}
