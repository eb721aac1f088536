/**
 * A folder on a disk whose power may be cut: fed with what a program did (shim-log.ts), it tells what the running system sees, and
 * draws what the disk may hold.
 *
 * Contents as in file-content.ts. Names: making, renaming and unlinking change a folder's list, and are on the disk for sure only
 * when that folder was synced afterwards; a sync of the file itself says nothing about its name. The changes of one folder reach the
 * disk in their order; a rename reaches both of its folders or neither. That is stricter than ext4 and XFS, whose journal keeps one
 * order for all, and no stricter than POSIX.
 *
 * The index of a write-ahead log (`-shm`) is written through a shared mapping, which nobody sees: SQLite builds it anew after every
 * crash, so its contents are left open.
 */
import { basename, dirname } from 'node:path'
import type { Random } from '../../../firmware-sim/src/signals/random.ts'
import { FileContent } from './file-content.ts'
import type { FoundTree } from './folder-tree.ts'
import type { DiskOp } from './shim-log.ts'

/** What stands at a path relative to the folder (`''` is the folder itself). */
export type Entry =
  | { readonly kind: 'folder'; readonly mode: number }
  | { readonly kind: 'file'; readonly mode: number; readonly bytes: Uint8Array }

/** By path, a folder before what is in it. */
export type Tree = ReadonlyMap<string, Entry>

class FileNode {
  readonly content: FileContent
  readonly mode: number

  constructor(mode: number, content = new FileContent()) {
    this.mode = mode
    this.content = content
  }
}

class FolderNode {
  readonly mode: number
  /** As the running system sees it. */
  readonly names = new Map<string, FileNode | FolderNode>()
  /** On the disk for sure. */
  readonly synced = new Map<string, FileNode | FolderNode>()
  pending: NameChange[] = []

  constructor(mode: number) {
    this.mode = mode
  }
}

/** One call's effect on names; `null` takes the name away. */
interface NameChange {
  readonly order: number
  readonly parts: readonly {
    readonly folder: FolderNode
    readonly name: string
    readonly node: FileNode | FolderNode | null
  }[]
}

export class DiskModel {
  readonly #path: string
  readonly #root: FolderNode
  readonly #byInode = new Map<number, FileNode | FolderNode>()
  readonly #walIndexes = new Set<number>()
  #order = 0

  /** `tree` is on the disk for sure; `inodes` are those of its paths. */
  constructor(path: string, tree: Tree, inodes: ReadonlyMap<string, number>) {
    this.#path = path
    this.#root = new FolderNode(tree.get('')?.mode ?? 0o700)
    for (const [relative, entry] of tree) {
      const node = relative === '' ? this.#root : nodeOf(entry)
      const inode = inodes.get(relative) ?? -1
      this.#byInode.set(inode, node)
      if (isWalIndex(relative)) this.#walIndexes.add(inode)
      if (relative === '') continue
      const parent = this.#folder(dirname(relative))
      parent.names.set(basename(relative), node)
      parent.synced.set(basename(relative), node)
    }
  }

  apply(op: DiskOp): void {
    switch (op.op) {
      case 'create':
        if (isWalIndex(op.path)) this.#walIndexes.add(op.inode)
        this.#make(op, new FileNode(op.mode))
        break
      case 'mkdir':
        this.#make(op, new FolderNode(op.mode))
        break
      case 'rename':
        this.#change([this.#part(op.from, null), this.#part(op.to, this.#at(op.from))])
        break
      case 'unlink':
      case 'rmdir':
        this.#change([this.#part(op.path, null)])
        break
      case 'write':
        this.#file(op.inode).write(op.at, op.bytes)
        break
      case 'truncate':
        this.#file(op.inode).truncate(op.size)
        break
      case 'sync':
        this.#sync(op.inode)
        break
      case 'unmodelled':
        if (op.call === 'mmap' && this.#walIndexes.has(op.inode)) break
        throw new Error(`a file was changed by ${op.call}, which the power-cut shim does not model`)
      default:
        op satisfies never
    }
  }

  /** What the running system sees. */
  current(): Tree {
    return treeOf(
      this.#root,
      folder => folder.names,
      file => file.content.current(),
    )
  }

  /**
   * Take in what the real folder shows and the log does not: the one call that a killed process had made and not yet logged. Returns
   * what was taken in.
   */
  catchUp({ tree, inodes }: FoundTree): readonly DiskOp[] {
    const ops: DiskOp[] = []
    const known = this.current()
    const gone = new Set([...known.keys()].filter(path => !tree.has(path)))
    for (const [relative, entry] of tree) {
      const path = `${this.#path}/${relative}`
      const inode = inodes.get(relative) ?? -1
      const before = known.get(relative)
      const from = [...gone].find(one => this.#at(`${this.#path}/${one}`) === this.#byInode.get(inode))
      if (from !== undefined) {
        gone.delete(from)
        ops.push({ op: 'rename', from: `${this.#path}/${from}`, to: path })
      } else if (before === undefined) {
        ops.push({ op: entry.kind === 'folder' ? 'mkdir' : 'create', inode, mode: entry.mode, path })
      } else if (entry.kind === 'file' && before.kind === 'file' && !isWalIndex(relative)) {
        ops.push(...changesBetween(inode, before.bytes, entry.bytes))
      }
    }
    for (const relative of gone) ops.push({ op: 'unlink', path: `${this.#path}/${relative}` })
    for (const op of ops) this.apply(op)
    return ops
  }

  /** One of the states that a power cut may leave. The model is of no use afterwards. */
  afterCut(random: Random): Tree {
    const chosen = this.#namesAfterCut(random)
    for (const change of [...chosen].sort((a, b) => a.order - b.order)) settle(change)
    return treeOf(
      this.#root,
      folder => folder.synced,
      file => file.content.afterCut(random),
    )
  }

  /** A prefix of the pending changes of each folder; a rename only where both folders have it in theirs. */
  #namesAfterCut(random: Random): Set<NameChange> {
    const folders = new Set([...this.#byInode.values()].filter(node => node instanceof FolderNode))
    const prefix = new Map([...folders].map(folder => [folder, random.integer(0, folder.pending.length)]))
    const within = (change: NameChange) =>
      change.parts.every(({ folder }) => folder.pending.indexOf(change) < (prefix.get(folder) ?? 0))
    for (let again = true; again; ) {
      again = false
      for (const folder of folders) {
        const first = folder.pending.findIndex(change => !within(change))
        if (first < 0 || first >= (prefix.get(folder) ?? 0)) continue
        prefix.set(folder, first)
        again = true
      }
    }
    return new Set([...folders].flatMap(folder => folder.pending.filter(within)))
  }

  #sync(inode: number): void {
    const node = this.#byInode.get(inode)
    if (node instanceof FileNode) node.content.sync()
    else if (node instanceof FolderNode) this.#syncNames(node)
    else throw new Error(`the log of the power-cut shim syncs inode ${inode}, which was never opened`)
  }

  #syncNames(folder: FolderNode): void {
    for (let change = folder.pending[0]; change; change = folder.pending[0]) settleInOrder(change)
  }

  #make({ inode, path }: { readonly inode: number; readonly path: string }, node: FileNode | FolderNode): void {
    this.#byInode.set(inode, node)
    this.#change([this.#part(path, node)])
  }

  #change(parts: NameChange['parts']): void {
    const change = { order: this.#order++, parts }
    for (const { folder, name, node } of parts) {
      if (node === null) folder.names.delete(name)
      else folder.names.set(name, node)
    }
    for (const folder of new Set(parts.map(part => part.folder))) folder.pending.push(change)
  }

  #part(path: string, node: FileNode | FolderNode | null) {
    const relative = this.#relative(path)
    return { folder: this.#folder(dirname(relative)), name: basename(relative), node }
  }

  #at(path: string): FileNode | FolderNode {
    const relative = this.#relative(path)
    const node = this.#folder(dirname(relative)).names.get(basename(relative))
    if (node === undefined) throw new Error(`the log of the power-cut shim renames ${path}, which is not there`)
    return node
  }

  #folder(relative: string): FolderNode {
    let node: FileNode | FolderNode | undefined = this.#root
    for (const name of relative.split('/').filter(part => part !== '' && part !== '.')) {
      node = node instanceof FolderNode ? node.names.get(name) : undefined
    }
    if (node instanceof FolderNode) return node
    throw new Error(`the log of the power-cut shim names a folder ${relative} that is not there`)
  }

  #file(inode: number): FileContent {
    const node = this.#byInode.get(inode)
    if (node instanceof FileNode) return node.content
    throw new Error(`the log of the power-cut shim writes to inode ${inode}, which was never opened`)
  }

  #relative(path: string): string {
    return path === this.#path ? '' : path.slice(this.#path.length + 1)
  }
}

function isWalIndex(path: string): boolean {
  return path.endsWith('-shm')
}

function nodeOf(entry: Entry): FileNode | FolderNode {
  return entry.kind === 'folder' ? new FolderNode(entry.mode) : new FileNode(entry.mode, new FileContent(entry.bytes))
}

/** The change is on the disk, and with it what came before it in each of its folders. */
function settleInOrder(change: NameChange): void {
  for (const { folder } of change.parts) {
    for (let first = folder.pending[0]; first && first !== change; first = folder.pending[0]) settleInOrder(first)
  }
  settle(change)
}

function settle(change: NameChange): void {
  for (const { folder, name, node } of change.parts) {
    if (node === null) folder.synced.delete(name)
    else folder.synced.set(name, node)
    const at = folder.pending.indexOf(change)
    if (at >= 0) folder.pending.splice(at, 1)
  }
}

/** The call that makes one content of a file the other; none when they are equal. */
function changesBetween(inode: number, before: Uint8Array, after: Uint8Array): DiskOp[] {
  if (after.length < before.length) return [{ op: 'truncate', inode, size: after.length }]
  if (Buffer.compare(before, after) === 0) return []
  const at = after.findIndex((byte, index) => byte !== before[index])
  return [{ op: 'write', inode, at, bytes: after.subarray(at) }]
}

function treeOf(
  root: FolderNode,
  names: (folder: FolderNode) => ReadonlyMap<string, FileNode | FolderNode>,
  bytes: (file: FileNode) => Uint8Array,
): Tree {
  const tree = new Map<string, Entry>()
  const visit = (path: string, node: FileNode | FolderNode) => {
    if (node instanceof FileNode) {
      tree.set(path, { kind: 'file', mode: node.mode, bytes: bytes(node) })
      return
    }
    tree.set(path, { kind: 'folder', mode: node.mode })
    for (const [name, child] of names(node)) visit(path === '' ? name : `${path}/${name}`, child)
  }
  visit('', root)
  return tree
}
