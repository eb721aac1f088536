/**
 * The running boot has a place in time: from here on rows of it, and of boots before it that never had one, can be placed.
 *
 * What places them is durable before anything is placed by it, so that a crash in between cannot place the rest otherwise. Later
 * news of the same boot change nothing of that; they are kept, for the next start, with whatever is written next.
 */
import type { BootTrust } from '../time/agent-clock.ts'
import { placed } from './place.ts'
import { type ClosedFile, flushState, type StoreState, stateWritten, writeMark, writeState } from './state.ts'

export function gainTrust(state: StoreState, trust: BootTrust): void {
  const { times, letters, closed } = state
  const before = { times: times.state, runs: letters.runs }
  if (!times.gain(trust)) return
  try {
    state.closed = closed.map(file => placeClosed(state, file))
    state.catalogueDirty = true
    const follow = state.tail.transaction(() => {
      const lettersPlaced = letters.place(state.tail, times)
      writeState(state)
      return lettersPlaced
    })
    follow()
    stateWritten(state)
    writeMark(state)
  } catch (error) {
    times.restore(before.times)
    letters.runs = before.runs
    state.closed = closed
    throw error
  }
}

/** Write what is not urgent about the boots' times, and drop those that no row needs. */
export function keepTimes(state: StoreState): void {
  const { times } = state
  times.forget(state.closed[0]?.firstRow ?? state.tailFirstRow)
  times.dirty ||= times.behind
  flushState(state)
}

function placeClosed({ times }: StoreState, file: ClosedFile): ClosedFile {
  const { closedIn, ...rest } = file
  const placement = closedIn === undefined ? null : times.placementOf(closedIn)
  if (placement === null) return file
  return { ...rest, closedAtMs: Math.floor(placed(placement, file.closedAtMs * 1000) / 1000) }
}
