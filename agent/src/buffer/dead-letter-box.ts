/**
 * The dead letters in the tail file: bounded by count and payload bytes, the oldest dropped first and counted.
 *
 * A letter's id is the value of the counter `deadLettered` when it was stored: ascending, never used twice. Letters move along into
 * every new tail file, so they are all in one file and change in the transaction of the commit that brings them.
 */
import type { DeadLetter, StoredDeadLetter } from './buffer.ts'
import type { BufferFile } from './buffer-file.ts'
import { isDamage } from './storage-error.ts'

export class DeadLetterBox {
  /** Dropped because of the bounds, since the first start. */
  dropped: number
  private readonly maxCount: number
  private readonly maxBytes: number
  private held: { readonly id: number; readonly bytes: number }[] = []
  private bytes = 0

  constructor(maxCount: number, maxBytes: number, dropped: number) {
    this.maxCount = maxCount
    this.maxBytes = maxBytes
    this.dropped = dropped
  }

  get count(): number {
    return this.held.length
  }

  /** Read what the tail holds. */
  load(tail: BufferFile): void {
    this.held = []
    this.bytes = 0
    for (const letter of tail.deadLetters()) this.note(letter)
  }

  /**
   * Write new letters, numbered from `firstId`, and drop the oldest above the bounds; part of a transaction. The returned function
   * makes the box follow, once that transaction is committed.
   */
  add(tail: BufferFile, letters: readonly DeadLetter[], firstId: number): () => void {
    const stored = letters.map((letter, index) => ({ ...letter, id: firstId + index }))
    const held = [...this.held, ...stored.map(entryOf)]
    let bytes = held.reduce((sum, entry) => sum + entry.bytes, 0)
    let from = 0
    while (held.length - from > this.maxCount || bytes > this.maxBytes) bytes -= held[from++]?.bytes ?? bytes
    const firstKept = held[from]?.id ?? Infinity
    for (const entry of this.held) if (entry.id < firstKept) tail.dropDeadLetter(entry.id)
    for (const letter of stored) if (letter.id >= firstKept) tail.putDeadLetter(letter)
    return () => {
      this.held = held.slice(from)
      this.bytes = bytes
      this.dropped += from
    }
  }

  /** Copy everything that can be read into the next tail; part of its first transaction. */
  carry(from: BufferFile, to: BufferFile): void {
    try {
      for (const letter of from.deadLetters()) to.putDeadLetter(letter)
    } catch (error) {
      if (!isDamage(error)) throw error
    }
  }

  drop(tail: BufferFile, ids: readonly number[]): number {
    const dropped = new Set(tail.transaction(() => ids.filter(id => tail.dropDeadLetter(id))))
    this.held = this.held.filter(entry => !dropped.has(entry.id))
    this.bytes = this.held.reduce((sum, entry) => sum + entry.bytes, 0)
    return dropped.size
  }

  private note(letter: StoredDeadLetter): void {
    const entry = entryOf(letter)
    this.held.push(entry)
    this.bytes += entry.bytes
  }
}

function entryOf(letter: StoredDeadLetter): { id: number; bytes: number } {
  return { id: letter.id, bytes: letter.payload.length + letter.reason.length + letter.origin.length }
}
