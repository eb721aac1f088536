/**
 * Which recalls run, and which are done and to be told of. Part of the state in the tail.
 *
 * A recall that is done is told in the header of every batch sealed once its readings are all sealed, until a batch that told it is
 * acknowledged. Bounded: 16 run at a time, 256 done ones are remembered, those told first to go.
 */

import type { RecallDone } from '@tributary/shared/batch/batch'
import { maxRecallsDone } from '@tributary/shared/batch/batch-header'
import { maxRecallsInAnswer, type Recall } from '@tributary/shared/protocol'
import type { BatchId } from './epochs.ts'

export interface RunningRecall extends Recall {
  /** Rows from here to `endRow` are still to be looked through. */
  readonly nextRow: number
  readonly endRow: number
  readonly readings: number
  /** As far as it is known by now. */
  readonly complete: boolean
}

export interface FinishedRecall extends Recall {
  readonly endRow: number
  readonly readings: number
  readonly complete: boolean
  /** The last row that it added, or the last there was. */
  readonly row: number
  readonly carriedBy: BatchId | null
  readonly told: boolean
}

export interface RecallState {
  readonly running: readonly RunningRecall[]
  readonly done: readonly FinishedRecall[]
}

const maxDone = 256

export class RecallBook {
  running: readonly RunningRecall[]
  done: readonly FinishedRecall[]
  dirty = false

  constructor(state: RecallState | null) {
    this.running = state?.running ?? []
    this.done = state?.done ?? []
  }

  get state(): RecallState {
    return { running: this.running, done: this.done }
  }

  isDone(id: number): boolean {
    return this.done.some(recall => recall.id === id)
  }

  /** The state after a step of a recall. */
  after(recall: RunningRecall, row: number): RecallState {
    const running = this.running.filter(({ id }) => id !== recall.id)
    if (recall.nextRow <= recall.endRow) {
      return { running: [...running, recall].slice(-maxRecallsInAnswer), done: this.done }
    }
    const { nextRow: _, ...finished } = recall
    const done = [...this.done, { ...finished, row, carriedBy: null, told: false }]
    const told = done.findIndex(one => one.told)
    return { running, done: done.length > maxDone ? done.toSpliced(Math.max(0, told), 1) : done }
  }

  set({ running, done }: RecallState): void {
    this.running = running
    this.done = done
  }

  /** What a batch tells: of the recalls not told yet, those whose readings are sealed with it. */
  carry(batch: BatchId, isSealed: (row: number) => boolean): RecallDone[] {
    const carried: RecallDone[] = []
    this.done = this.done.map(recall => {
      if (recall.told || carried.length === maxRecallsDone || !isSealed(recall.row)) return recall
      const { id, readings, complete } = recall
      carried.push({ id, readings, complete })
      if (recall.carriedBy?.epoch === batch.epoch) return recall
      this.dirty = true
      return { ...recall, carriedBy: { epoch: batch.epoch, seq: batch.seq } }
    })
    return carried
  }

  acknowledged(epoch: number, seq: number): void {
    this.done = this.done.map(recall => {
      const by = recall.carriedBy
      if (recall.told || by?.epoch !== epoch || by.seq > seq) return recall
      this.dirty = true
      return { ...recall, told: true }
    })
  }
}
