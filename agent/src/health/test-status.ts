/** For tests: the status of an agent that drains a backlog. */
import { changed, noCounters } from '../buffer/counters.ts'
import type { AgentStatus } from './agent-status.ts'

const counters = changed(noCounters, 'raw', { accepted: 1000, stored: 1000 })
const live = { unsealedReadings: 20, inFlight: 1, sentBatches: 3, sentReadings: 60, sentBytes: 300 }
const backlog = { unsealedReadings: 700, inFlight: 4, sentBatches: 9, sentReadings: 9000, sentBytes: 27_000 }

export const drainingStatus: AgentStatus = {
  name: 'gw',
  version: '1.0.0',
  pid: 1,
  startedAt: '2025-06-01T12:00:00.000Z',
  enrolment: { agentId: 'ag-a', site: 'here', hub: 'https://hub' },
  sources: [],
  buffer: {
    files: 2,
    bytes: 4096,
    backlogReadings: 800,
    unsealedLive: 20,
    unsealedBacklog: 700,
    backlogRanges: 2,
    oldestUs: 1_748_779_200_000_000,
    deadLetters: 0,
    sealedPending: 5,
    resealedBatches: 1,
    counters,
    losses: [],
    writable: true,
  },
  uplink: {
    state: 'sending',
    detail: '',
    hub: 'https://hub',
    proxy: 'http://proxy:3128',
    lastSuccessMs: null,
    lastError: null,
    backlogReadings: 800,
    apart: true,
    lanes: { live, backlog },
    drainReadingsPerS: 12.4,
    estimatedDrainMs: 64_516,
    inFlight: 5,
    nextTryInMs: null,
    held: [],
    sentBatches: 12,
    sentReadings: 9060,
    sentBytes: 27_300,
    failedTries: 0,
    rejected: {},
    clockOffsetMs: null,
    clockCorrections: 0,
    sentAgain: 0,
    resealed: 1,
    credits: 8,
    desiredConfigVersion: null,
  },
  rssBytes: 1e8,
  sabotage: [],
}
