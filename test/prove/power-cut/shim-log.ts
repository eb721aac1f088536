/**
 * What shim.c logged, as operations. A last record that the killed process did not finish is left out.
 *
 * Record, little endian: u32 op · u32 payload bytes · u64 inode · u64 number · payload.
 */
import { readFileSync } from 'node:fs'

/** One call that succeeded, on a file or a name below the folder; paths are absolute. */
export type DiskOp =
  | { readonly op: 'create' | 'mkdir'; readonly inode: number; readonly mode: number; readonly path: string }
  | { readonly op: 'write'; readonly inode: number; readonly at: number; readonly bytes: Uint8Array }
  | { readonly op: 'truncate'; readonly inode: number; readonly size: number }
  | { readonly op: 'sync'; readonly inode: number }
  | { readonly op: 'rename'; readonly from: string; readonly to: string }
  | { readonly op: 'unlink' | 'rmdir'; readonly path: string }
  /** A call whose effect the log does not hold; inode 0 when it is not about an open file. */
  | { readonly op: 'unmodelled'; readonly inode: number; readonly call: string }

const headerBytes = 24

export function readShimLog(file: string): DiskOp[] {
  return parseShimLog(readFileSync(file))
}

export function parseShimLog(log: Buffer): DiskOp[] {
  const ops: DiskOp[] = []
  for (let at = 0; at + headerBytes <= log.length; ) {
    const code = log.readUInt32LE(at)
    const length = log.readUInt32LE(at + 4)
    const inode = Number(log.readBigUInt64LE(at + 8))
    const number = Number(log.readBigUInt64LE(at + 16))
    const payload = log.subarray(at + headerBytes, at + headerBytes + length)
    if (payload.length < length) break
    ops.push(toOp(code, inode, number, payload))
    at += headerBytes + length
  }
  return ops
}

function toOp(code: number, inode: number, number: number, payload: Buffer): DiskOp {
  switch (code) {
    case 1:
      return { op: 'create', inode, mode: number, path: payload.toString() }
    case 2:
      return { op: 'write', inode, at: number, bytes: payload }
    case 3:
      return { op: 'truncate', inode, size: number }
    case 4:
      return { op: 'sync', inode }
    case 5: {
      const [from = '', to = ''] = payload.toString().split('\0')
      return { op: 'rename', from, to }
    }
    case 6:
      return { op: 'unlink', path: payload.toString() }
    case 7:
      return { op: 'mkdir', inode, mode: number, path: payload.toString() }
    case 8:
      return { op: 'rmdir', path: payload.toString() }
    case 9:
      return { op: 'unmodelled', inode, call: payload.toString() }
    default:
      throw new Error(`the log of the power-cut shim has a record of kind ${code}`)
  }
}
