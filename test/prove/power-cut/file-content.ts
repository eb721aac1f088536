/**
 * The contents of one file: what is on the disk for sure, what the running system sees, and what the disk may hold after a power cut.
 *
 * A disk writes sectors of 512 bytes whole or not at all, each for itself and in any order. So after a cut every sector shows the
 * file after some number of the writes that touched it since the last sync, none to all, whatever its neighbours show. Truncations
 * change the size, and sizes are changed in order: with one that did not reach the disk, the later ones did not either, nor anything
 * that was written beyond its end afterwards. The file ends where its last sector on the disk ends.
 */
import type { Random } from '../../../firmware-sim/src/signals/random.ts'

const sectorBytes = 512

type Change = { readonly at: number; readonly bytes: Uint8Array } | { readonly size: number }

/** How much of what was not synced reaches the disk: nothing, some, everything. */
const reached = [0, 0.1, 0.5, 0.9, 1] as const

export class FileContent {
  readonly #synced: Image
  #changes: Change[] = []

  constructor(synced: Uint8Array = new Uint8Array(0)) {
    this.#synced = new Image(synced)
  }

  write(at: number, bytes: Uint8Array): void {
    this.#changes.push({ at, bytes })
  }

  truncate(size: number): void {
    this.#changes.push({ size })
  }

  sync(): void {
    applyAll(this.#changes, this.#synced)
    this.#changes = []
  }

  /** As the running system sees it. */
  current(): Uint8Array {
    const image = new Image(this.#synced.bytes())
    applyAll(this.#changes, image)
    return image.bytes()
  }

  /** One of the states that a power cut may leave. */
  afterCut(random: Random): Uint8Array {
    const share = reached[random.integer(0, reached.length - 1)] as number
    const truncations = this.#changes.filter(change => 'size' in change).length
    let truncationsLeft = random.chance(share) ? random.integer(0, truncations) : 0
    const writesReached = this.#writesReached(random, share)
    const seen = new Map<number, number>()
    const image = new Image(this.#synced.bytes())
    let end = Infinity
    for (const change of this.#changes) {
      if ('size' in change) {
        if (truncationsLeft-- > 0) image.resize(change.size)
        else end = Math.min(end, change.size)
        continue
      }
      for (const { sector, at, bytes } of sectorsOf(change)) {
        const nth = (seen.get(sector) ?? 0) + 1
        seen.set(sector, nth)
        if (nth > (writesReached.get(sector) ?? 0) || at >= end) continue
        image.write(at, bytes.subarray(0, end - at))
      }
    }
    return image.bytes()
  }

  /** For each sector, how many of the writes that touch it are on the disk. */
  #writesReached(random: Random, share: number): Map<number, number> {
    const writes = new Map<number, number>()
    for (const change of this.#changes) {
      if ('size' in change) continue
      for (const { sector } of sectorsOf(change)) writes.set(sector, (writes.get(sector) ?? 0) + 1)
    }
    for (const [sector, count] of writes) {
      const newest = random.chance(share) ? count : random.integer(0, count)
      writes.set(sector, share === 0 || !random.chance(share) ? 0 : newest)
    }
    return writes
  }
}

function applyAll(changes: readonly Change[], image: Image): void {
  for (const change of changes) {
    if ('size' in change) image.resize(change.size)
    else image.write(change.at, change.bytes)
  }
}

/** The parts of a write that fall into each sector. */
function* sectorsOf({ at, bytes }: { readonly at: number; readonly bytes: Uint8Array }) {
  for (let done = 0; done < bytes.length; ) {
    const from = at + done
    const length = Math.min(bytes.length - done, sectorBytes - (from % sectorBytes))
    yield { sector: Math.floor(from / sectorBytes), at: from, bytes: bytes.subarray(done, done + length) }
    done += length
  }
}

/** Bytes that grow; what was never written is zero. */
class Image {
  #bytes: Uint8Array
  #size: number

  constructor(bytes: Uint8Array) {
    this.#bytes = Uint8Array.from(bytes)
    this.#size = bytes.length
  }

  write(at: number, bytes: Uint8Array): void {
    this.#reserve(at + bytes.length)
    this.#bytes.set(bytes, at)
    this.#size = Math.max(this.#size, at + bytes.length)
  }

  resize(size: number): void {
    this.#reserve(size)
    if (size < this.#size) this.#bytes.fill(0, size, this.#size)
    this.#size = size
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#size)
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(size, 2 * this.#bytes.length))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}
