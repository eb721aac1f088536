/**
 * The receipts on the writer's side: which (scope, id) was stored with which digest, and their layout in a row.
 *
 * Bounded: about `maxReceipts` in all, and no more than that in `list`. A scope (one sender) may use what the others leave: with one
 * message more under way than it has receipts, a sender's whole window would be stored again after a crash. Where there is no room
 * the largest scopes give up their oldest, so that a busy sender pushes out its own and never the open ones of a quiet one; beyond 16
 * receipts a scope, the scopes not heard for longest go whole. Beside them a few scopes have room of their own (`reservedReceipts`): how
 * many senders there are does not matter to them.
 * Layout of the column: varint scopes · per scope text · varint receipts · per receipt varint scope, varint id, 8 bytes digest ·
 * varint releases · per release varint scope, varint id. Receipts come before the releases of the same row.
 */
import { type Receipt, reservedReceipts } from './buffer.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { Group, ReceiptColumns } from './group.ts'

const minShare = 16
/** Scopes with room of their own; beyond this the one not heard for longest goes. */
const maxReserved = 256
const released = -1
const writer = new ByteWriter(16 * 1024)

/** Appended in order of arrival; an id that comes again, or is released, makes the earlier entry void. */
class ScopeReceipts {
  count = 0
  ids = new Float64Array(16)
  digests = new Uint8Array(16 * 8)

  /** False when there is no room for it. */
  push(id: number, digest: Uint8Array): boolean {
    if (this.count === this.ids.length) return false
    this.ids[this.count] = id
    this.digests.set(digest, this.count * 8)
    this.count++
    return true
  }

  release(id: number): boolean {
    const at = this.ids.subarray(0, this.count).lastIndexOf(id)
    if (at < 0) return false
    for (let index = at; index >= 0; index--) if (this.ids[index] === id) this.ids[index] = released
    while (this.count > 0 && this.ids[this.count - 1] === released) this.count--
    return true
  }

  /** Drop what is void and, above the limit, the oldest; then have room for as many again. */
  makeRoom(limit: number): void {
    const kept = this.live().slice(-Math.max(1, limit))
    const capacity = Math.max(16, kept.length * 2)
    const ids = new Float64Array(capacity)
    const digests = new Uint8Array(capacity * 8)
    for (const [index, from] of kept.entries()) {
      ids[index] = this.ids[from] as number
      digests.set(this.digests.subarray(from * 8, from * 8 + 8), index * 8)
    }
    this.count = kept.length
    this.ids = ids
    this.digests = digests
  }

  /** Indices of the entries that hold, oldest first. */
  live(): number[] {
    const seen = new Set<number>()
    const indices: number[] = []
    for (let index = this.count - 1; index >= 0; index--) {
      const id = this.ids[index] as number
      if (id === released || seen.has(id)) continue
      seen.add(id)
      indices.push(index)
    }
    return indices.reverse()
  }
}

export class ReceiptBook {
  private readonly maxReceipts: number
  /** Those that share the bound, in the order in which they were last heard. */
  private readonly scopes = new Map<string, ScopeReceipts>()
  private readonly reserved = new Map<string, ScopeReceipts>()

  constructor(maxReceipts: number) {
    this.maxReceipts = maxReceipts
  }

  apply(columns: ReceiptColumns, releases: Group['releases']): void {
    const scopes = columns.scopes.map(scope => this.scope(scope))
    for (let index = 0; index < columns.count; index++) {
      const digest = columns.digests.subarray(index * 8, index * 8 + 8)
      const scope = scopes[columns.scope[index] as number]
      const id = columns.ids[index] as number
      if (scope === undefined || scope.push(id, digest)) continue
      this.makeRoom(scope, this.scopesLike(columns.scopes[columns.scope[index] as number]!) === this.reserved)
      scope.push(id, digest)
    }
    for (const { scope, id } of releases) this.scopesLike(scope).get(scope)?.release(id)
  }

  has(scope: string, id: number): boolean {
    const found = this.scopesLike(scope).get(scope)
    return found?.ids.subarray(0, found.count).includes(id) ?? false
  }

  /** Every receipt that holds, within the bounds. */
  list(): Receipt[] {
    const limit = level(
      Array.from(this.scopes.values(), held => held.live().length),
      this.maxReceipts,
    )
    return [...newest(this.reserved, reservedReceipts.each), ...newest(this.scopes, limit)]
  }

  private scopesLike(name: string): Map<string, ScopeReceipts> {
    return name.startsWith(reservedReceipts.prefix) ? this.reserved : this.scopes
  }

  private scope(name: string): ScopeReceipts {
    const scopes = this.scopesLike(name)
    const held = scopes.get(name) ?? new ScopeReceipts()
    scopes.delete(name)
    scopes.set(name, held)
    const most = scopes === this.reserved ? maxReserved : Math.max(1, Math.floor(this.maxReceipts / minShare))
    if (scopes.size > most) scopes.delete(scopes.keys().next().value!)
    return held
  }

  /** For a scope that is full; whoever holds twice what it may is brought down too. Arrays double, so this is rare. */
  private makeRoom(full: ScopeReceipts, isReserved: boolean): void {
    if (isReserved) {
      full.makeRoom(reservedReceipts.each)
      return
    }
    const scopes = [...this.scopes.values()]
    const limit = level(
      scopes.map(({ count }) => count),
      this.maxReceipts,
    )
    full.makeRoom(limit)
    for (const scope of scopes) if (scope !== full && scope.count > 2 * limit) scope.makeRoom(limit)
  }
}

/** Of each scope so many, oldest first. */
function newest(scopes: ReadonlyMap<string, ScopeReceipts>, limit: number): Receipt[] {
  const receipts: Receipt[] = []
  for (const [scope, held] of scopes) {
    for (const index of limit === 0 ? [] : held.live().slice(-limit)) {
      const digest = Buffer.from(held.digests.subarray(index * 8, index * 8 + 8)).toString('hex')
      receipts.push({ scope, id: held.ids[index] as number, digest })
    }
  }
  return receipts
}

/** The most that each may have so that all have no more than `most` together: those with less leave the rest to the others. */
function level(counts: readonly number[], most: number): number {
  let left = most
  let share = most
  for (const [index, count] of counts.toSorted((a, b) => a - b).entries()) {
    share = Math.floor(left / (counts.length - index))
    if (count > share) return share
    left -= count
  }
  return most
}

/** Receipts and releases of one commit, or null when it has none. */
export function encodeReceipts(columns: ReceiptColumns, releases: Group['releases']): Uint8Array | null {
  if (columns.count === 0 && releases.length === 0) return null
  const scopes = new Map(columns.scopes.map((scope, index) => [scope, index]))
  for (const { scope } of releases) if (!scopes.has(scope)) scopes.set(scope, scopes.size)
  writer.reset()
  writer.varint(scopes.size)
  for (const scope of scopes.keys()) writer.text(scope)
  writer.varint(columns.count)
  for (let index = 0; index < columns.count; index++) {
    writer.varint(columns.scope[index] as number)
    writer.varint(columns.ids[index] as number)
    writer.raw(columns.digests.subarray(index * 8, index * 8 + 8))
  }
  writer.varint(releases.length)
  for (const { scope, id } of releases) {
    writer.varint(scopes.get(scope) ?? 0)
    writer.varint(id)
  }
  return writer.take()
}

export function decodeReceipts(bytes: Uint8Array): { columns: ReceiptColumns; releases: Group['releases'] } {
  const reader = new ByteReader(bytes)
  const scopes: string[] = []
  for (let left = reader.varint(); left > 0; left--) scopes.push(reader.text())
  const count = Math.min(reader.varint(), reader.left)
  const scope = new Uint32Array(count)
  const ids = new Float64Array(count)
  const digests = new Uint8Array(count * 8)
  for (let index = 0; index < count; index++) {
    scope[index] = reader.varint()
    ids[index] = reader.varint()
    digests.set(reader.raw(8), index * 8)
  }
  const releases: { scope: string; id: number }[] = []
  for (let left = reader.varint(); left > 0; left--) {
    releases.push({ scope: scopes[reader.varint()] ?? '', id: reader.varint() })
  }
  return { columns: { scopes, count, scope, ids, digests }, releases }
}

/** The columns of a list, to carry it into a new file. */
export function receiptColumns(receipts: readonly Receipt[]): ReceiptColumns {
  const scopes = new Map<string, number>()
  const digests = new Uint8Array(receipts.length * 8)
  for (const [index, receipt] of receipts.entries()) {
    if (!scopes.has(receipt.scope)) scopes.set(receipt.scope, scopes.size)
    digests.set(Buffer.from(receipt.digest, 'hex'), index * 8)
  }
  return {
    scopes: [...scopes.keys()],
    count: receipts.length,
    scope: Uint32Array.from(receipts, receipt => scopes.get(receipt.scope) ?? 0),
    ids: Float64Array.from(receipts, receipt => receipt.id),
    digests,
  }
}
