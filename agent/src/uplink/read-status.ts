/** The uplink's status, read from its parts. */
import type { Lane } from '@tributary/shared/protocol'
import type { HubClock } from '../time/hub-clock.ts'
import type { DrainEstimate } from './drain-estimate.ts'
import type { Outbox } from './outbox.ts'
import type { Pace } from './pace.ts'
import type { Recalls } from './recalls.ts'
import type { Supply } from './supply.ts'
import type { Tally } from './tally.ts'
import type { Trouble } from './trouble.ts'
import type { LaneStatus, UplinkState, UplinkStatus } from './uplink-status.ts'

export interface StatusParts {
  readonly clock: HubClock
  readonly pace: Pace
  readonly outbox: Outbox
  readonly supply: Supply
  readonly estimate: DrainEstimate
  readonly tally: Tally
  readonly trouble: Trouble
  readonly recalls: Recalls
  readonly credits: number
  /** Batches that the hub may refuse before nothing new is sent. */
  readonly maxHeld: number
  readonly hub: string
  readonly proxy: string | null
  readonly stopped: boolean
}

export function readStatus(parts: StatusParts): UplinkStatus {
  const { clock, pace, outbox, supply, estimate, tally, trouble, recalls, credits, hub, proxy } = parts
  const nowMs = clock.monotonicMs()
  const waitMs = pace.waitMs(nowMs)
  return {
    state: stateOf(parts),
    detail: detailOf(parts),
    hub,
    proxy,
    lastSuccessMs: tally.lastSuccessMs,
    lastError: trouble.last,
    backlogReadings: supply.backlogReadings,
    apart: supply.apart,
    lanes: { live: laneStatus(parts, 'live'), backlog: laneStatus(parts, 'backlog') },
    drainReadingsPerS: estimate.readingsPerS(nowMs),
    estimatedDrainMs: estimate.atRateMs(supply.backlogReadings, nowMs),
    inFlight: outbox.inFlight,
    nextTryInMs: waitMs > 0 ? Math.ceil(waitMs) : null,
    held: outbox.held(),
    sentBatches: tally.sum('batches'),
    sentReadings: tally.sum('readings'),
    sentBytes: tally.sum('bytes'),
    failedTries: tally.failed,
    rejected: tally.rejected,
    clockOffsetMs: clock.offsetMs(),
    clockCorrections: clock.corrections,
    sentAgain: tally.again,
    resealed: tally.resealed,
    credits,
    recalls: { open: recalls.open, done: recalls.done },
    desiredConfigVersion: tally.desiredConfigVersion,
  }
}

function laneStatus({ tally, supply, outbox }: StatusParts, lane: Lane): LaneStatus {
  const { batches, readings, bytes } = tally.lanes[lane]
  return {
    unsealedReadings: supply.unsealed[lane],
    inFlight: outbox.inFlightOf(lane),
    sentBatches: batches,
    sentReadings: readings,
    sentBytes: bytes,
  }
}

function detailOf({ trouble, outbox }: StatusParts): string {
  if (trouble.now) return trouble.now.detail
  const [held] = outbox.held()
  if (!held) return ''
  const count = outbox.heldCount
  return `the hub refuses ${count === 1 ? 'a batch' : `${count} batches`}, kept and tried again: ${held.detail}`
}

function stateOf({ stopped, trouble, outbox, supply, maxHeld }: StatusParts): UplinkState {
  if (stopped) return 'stopped'
  if (trouble.isRefused) return 'refused'
  if (trouble.now) return 'waiting'
  if (outbox.heldCount >= maxHeld) return 'blocked'
  return outbox.inFlight > 0 || supply.backlogReadings > 0 ? 'sending' : 'idle'
}
