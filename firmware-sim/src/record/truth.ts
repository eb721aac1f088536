/**
 * The ground truth of a run with faults: one JSON line per episode, in the order in which the episodes ended.
 *   {"fault":"stuck","device":"machine-001","metric":"power","from":1700000000000000,"to":1700000030000000}
 * Times are the device's, µs since 1970 UTC, both ends included; metric null: whole emissions.
 */
import { closeSync, writeSync } from 'node:fs'
import type { FaultEpisode } from '../faults/fault.ts'
import { openNew } from './record.ts'

export interface TruthFile {
  add(episode: FaultEpisode): void
  close(): void
}

export function createTruthFile(path: string): TruthFile {
  const fd = openNew(path)
  return {
    add: ({ fault, device, metric, fromUs, toUs }) =>
      void writeSync(fd, `${JSON.stringify({ fault, device, metric, from: fromUs, to: toUs })}\n`),
    close: () => closeSync(fd),
  }
}
