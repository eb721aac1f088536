import { describe, expect, it } from 'vitest'
import { createRandom } from '../../../firmware-sim/src/signals/random.ts'
import { DiskModel, type Entry, type Tree } from './disk-model.ts'
import type { DiskOp } from './shim-log.ts'

const folder: Entry = { kind: 'folder', mode: 0o700 }
const file = (text: string): Entry => ({ kind: 'file', mode: 0o600, bytes: Buffer.from(text) })
const sector = (letter: string) => Buffer.from(letter.repeat(512))

const create = (inode: number, path: string): DiskOp => ({ op: 'create', inode, mode: 0o600, path: `/d/${path}` })
const write = (inode: number, at: number, bytes: string | Uint8Array): DiskOp => ({
  op: 'write',
  inode,
  at,
  bytes: Buffer.from(bytes as string),
})
const sync = (inode: number): DiskOp => ({ op: 'sync', inode })
const rename = (from: string, to: string): DiskOp => ({ op: 'rename', from: `/d/${from}`, to: `/d/${to}` })

/** Inode 1 is the folder, 2 its file `a`, 3 its folder `q`. */
function model(ops: readonly DiskOp[], a = file('')): DiskModel {
  const tree = new Map<string, Entry>([
    ['', folder],
    ['a', a],
    ['q', folder],
  ])
  const disk = new DiskModel(
    '/d',
    tree,
    new Map([
      ['', 1],
      ['a', 2],
      ['q', 3],
    ]),
  )
  for (const op of ops) disk.apply(op)
  return disk
}

const text = (tree: Tree) =>
  [...tree]
    .filter(([, entry]) => entry.kind === 'file')
    .map(([path, entry]) => `${path}=${entry.kind === 'file' ? Buffer.from(entry.bytes).toString() : ''}`)
    .sort()
    .join(' ')

/** Every state found in many cuts. */
function states(ops: readonly DiskOp[], a?: Entry): Set<string> {
  const found = new Set<string>()
  for (let seed = 0; seed < 500; seed++) found.add(text(model(ops, a).afterCut(createRandom(String(seed)))))
  return found
}

/** Sectors by their first letter, with their size. */
const letters = (state: string) =>
  state.replace(/a=(.*)/s, (_all, bytes: string) =>
    (bytes.match(/.{1,512}/gs) ?? []).map(part => part[0]?.replace('\0', '0')).join(''),
  )

describe('contents after a power cut', () => {
  it('that were synced are there whatever happened later', () => {
    expect(states([write(2, 0, 'new'), sync(2)], file('old'))).toEqual(new Set(['a=new']))
  })

  it('that were not synced are there by sectors, in any combination', () => {
    const found = states([write(2, 0, Buffer.concat([sector('x'), sector('y'), sector('z')]))], file('o'.repeat(1536)))
    expect(new Set([...found].map(letters))).toEqual(new Set(['ooo', 'xoo', 'oyo', 'ooz', 'xyo', 'xoz', 'oyz', 'xyz']))
  })

  it('show each sector after some number of its writes, never the second without the first', () => {
    const found = states([write(2, 0, 'xx'), write(2, 2, 'yy')], file('oooo'))
    expect(found).toEqual(new Set(['a=oooo', 'a=xxoo', 'a=xxyy']))
  })

  it('grow to the last sector that was written, with zeros for those before it that were not', () => {
    const found = new Set(
      [...states([write(2, 0, Buffer.concat([sector('x'), sector('y')]))])].map(state => letters(state)),
    )
    expect(found).toEqual(new Set(['', 'x', 'xy', '0y']))
  })

  it('may lack a truncation, and then everything written beyond it later', () => {
    const ops: DiskOp[] = [{ op: 'truncate', inode: 2, size: 0 }, write(2, 0, sector('x'))]
    const found = new Set([...states(ops, file('o'.repeat(1024)))].map(letters))
    expect(found).toEqual(new Set(['oo', '', 'x']))
  })

  it('may lack a later truncation only: sizes change in order', () => {
    const ops: DiskOp[] = [
      { op: 'truncate', inode: 2, size: 512 },
      { op: 'truncate', inode: 2, size: 1536 },
    ]
    expect(new Set([...states(ops, file('o'.repeat(1024)))].map(letters))).toEqual(new Set(['oo', 'o', 'o00']))
  })
})

describe('names after a power cut', () => {
  it('are there for sure once their folder was synced, not by a sync of the file', () => {
    const made = [create(4, 'b'), write(4, 0, 'x'), sync(4)]
    expect(states(made)).toEqual(new Set(['a=', 'a= b=x']))
    expect(states([...made, sync(1)])).toEqual(new Set(['a= b=x']))
  })

  it('may come without the contents', () => {
    expect(states([create(4, 'b'), sync(1), write(4, 0, 'x')])).toEqual(new Set(['a= b=', 'a= b=x']))
  })

  it('reach the disk in their order within a folder', () => {
    expect(states([create(4, 'b'), create(5, 'c')])).toEqual(new Set(['a=', 'a= b=', 'a= b= c=']))
  })

  it('of a rename change together, also over two folders', () => {
    expect(states([rename('a', 'q/a')])).toEqual(new Set(['a=', 'q/a=']))
    expect(states([rename('a', 'q/a'), sync(3)])).toEqual(new Set(['q/a=']))
  })

  it('of a rename wait for what came before in either folder, and a sync brings that along', () => {
    const ops = [create(4, 'b'), rename('a', 'q/a')]
    expect(states(ops)).toEqual(new Set(['a=', 'a= b=', 'b= q/a=']))
    expect(states([...ops, sync(3)])).toEqual(new Set(['b= q/a=']))
  })

  it('that were unlinked may come back', () => {
    expect(states([{ op: 'unlink', path: '/d/a' }])).toEqual(new Set(['', 'a=']))
    expect(states([{ op: 'unlink', path: '/d/a' }, sync(1)])).toEqual(new Set(['']))
  })

  it('stand for another file after an inode was used again', () => {
    const ops: DiskOp[] = [{ op: 'unlink', path: '/d/a' }, create(2, 'b'), write(2, 0, 'x')]
    expect(states(ops, file('old'))).toEqual(new Set(['a=old', '', 'b=', 'b=x']))
  })
})

it('the running system sees everything, and the same seed cuts the same', () => {
  const ops = [create(4, 'b'), write(4, 0, 'x'), rename('b', 'q/b'), write(4, 1, 'y')]
  expect(text(model(ops).current())).toBe('a= q/b=xy')
  expect(text(model(ops).afterCut(createRandom('7')))).toBe(text(model(ops).afterCut(createRandom('7'))))
})

it('a call that is not modelled is refused, but for the mapping of a log index', () => {
  const mapped: DiskOp = { op: 'unmodelled', inode: 4, call: 'mmap' }
  expect(() => model([create(4, 'b'), mapped])).toThrow(/mmap/)
  expect(() => model([create(4, 'b-shm'), mapped])).not.toThrow()
})
