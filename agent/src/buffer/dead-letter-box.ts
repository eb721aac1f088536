/**
 * The dead letters in the tail file: bounded by count and payload bytes, the oldest dropped first and counted.
 *
 * A letter's id is the value of the counter `deadLettered` when it was stored: ascending, never used twice. Letters move along into
 * every new tail file, so they are all in one file and change in the transaction of the commit that brings them.
 *
 * A letter that came while the clock was not trusted stands in its file with −1 − its moment of the boot's clock as time, until that boot is
 * placed in time. Those of earlier boots are named by `runs`, all others are of the running one.
 */

import type { BootTimes } from '../time/boot-times.ts'
import type { DeadLetter, StoredDeadLetter } from './buffer.ts'
import type { BufferFile } from './buffer-file.ts'
import { placed } from './place.ts'
import { isDamage } from './storage-error.ts'

/** Letters from one id to another whose time is not certain. */
export interface LetterRun {
  readonly from: number
  readonly to: number
  /** Whose clock their times are of; null when they are placed, and uncertain. */
  readonly boot: string | null
}

interface Entry {
  readonly id: number
  readonly bytes: number
  readonly placed: boolean
}

export class DeadLetterBox {
  /** Dropped because of the bounds, since the first start. */
  dropped: number
  private readonly maxCount: number
  private readonly maxBytes: number
  private held: Entry[] = []
  private bytes = 0
  runs: readonly LetterRun[]

  constructor(maxCount: number, maxBytes: number, dropped: number, runs: readonly LetterRun[]) {
    this.maxCount = maxCount
    this.maxBytes = maxBytes
    this.dropped = dropped
    this.runs = runs
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

  /** The running boot is another one than that of the letters which no run names; null when theirs is not known. */
  bootChanged(previous: string | null): void {
    const loose = this.held.filter(({ id, placed }) => !placed && !this.runOf(id))
    const [first, last] = [loose[0], loose.at(-1)]
    if (first && last) this.runs = [...this.runs, { from: first.id, to: last.id, boot: previous ?? '' }]
  }

  /** As people see it. */
  present(letter: StoredDeadLetter): StoredDeadLetter {
    const run = this.runOf(letter.id)
    if (letter.receivedAtUs >= 0) return run ? { ...letter, arrival: 'uncertain' } : letter
    return { ...letter, receivedAtUs: -1 - letter.receivedAtUs, arrival: 'unplaced' }
  }

  /**
   * Give the letters of boots that have a place in time by now their times; part of a transaction, and of a change of `runs` in the state
   * that goes with it. The returned function makes the box follow.
   */
  place(tail: BufferFile, times: BootTimes): () => void {
    const before = this.runs
    const uncertain: LetterRun[] = []
    for (const letter of [...tail.deadLetters()].filter(({ receivedAtUs }) => receivedAtUs < 0)) {
      const placement = times.placementOf(this.runOf(letter.id)?.boot ?? times.current)
      if (placement === null) continue
      tail.dropDeadLetter(letter.id)
      tail.putDeadLetter({ ...letter, receivedAtUs: placed(placement, -1 - letter.receivedAtUs) })
      if (!placement.certain) uncertain.push({ from: letter.id, to: letter.id, boot: null })
    }
    this.runs = [...before.filter(({ boot }) => boot === null), ...joined(uncertain)].filter(run => this.holds(run))
    return () => {
      this.held = this.held.map(entry => ({ ...entry, placed: true }))
    }
  }

  private runOf(id: number): LetterRun | undefined {
    return this.runs.find(({ from, to }) => from <= id && id <= to)
  }

  private holds({ from, to }: LetterRun): boolean {
    return this.held.some(({ id }) => from <= id && id <= to)
  }

  /**
   * Write new letters, numbered from `firstId`, and drop the oldest above the bounds; part of a transaction. The returned function
   * makes the box follow, once that transaction is committed.
   */
  add(tail: BufferFile, letters: readonly DeadLetter[], firstId: number): () => void {
    const stored = letters.map((letter, index) => ({
      ...letter,
      id: firstId + index,
      receivedAtUs: storedTime(letter),
    }))
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

function entryOf({ id, payload, reason, origin, receivedAtUs }: StoredDeadLetter): Entry {
  return { id, bytes: payload.length + reason.length + origin.length, placed: receivedAtUs >= 0 }
}

function storedTime({ receivedAtUs, arrival }: DeadLetter): number {
  return arrival === 'unplaced' ? -1 - receivedAtUs : receivedAtUs
}

/** Runs of neighbouring ids. */
function joined(runs: readonly LetterRun[]): LetterRun[] {
  const result: LetterRun[] = []
  for (const run of runs) {
    const last = result.at(-1)
    if (last && last.to + 1 === run.from) result[result.length - 1] = { ...last, to: run.to }
    else result.push(run)
  }
  return result
}
