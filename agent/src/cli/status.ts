/** `status`: what the running agent says of itself. */
import type { Command } from '@tributary/shared/cli'
import { formatBytes, formatDuration } from '@tributary/shared/config-schema'
import type { BufferStats, WindowStats } from '../buffer/buffer.ts'
import { type AgentStatus, type NamedSourceStatus, unreadiness } from '../health/agent-status.ts'
import type { ClockStatus } from '../time/agent-clock.ts'
import type { UplinkStatus } from '../uplink/uplink-status.ts'
import { configOption, readConfigOption } from './config-option.ts'
import { describeCounters } from './describe-counters.ts'
import { findRunningAgent, notRunning } from './running-agent.ts'

export const status: Command = {
  name: 'status',
  summary: 'how the running agent is: sources, buffer, uplink; exit code 1 when it is not ready',
  options: configOption,
  examples: ['tributary-agent status', 'tributary-agent status --json | jq .buffer.backlogReadings'],
  async run(context) {
    const config = await readConfigOption(context)
    const agent = await findRunningAgent(config)
    if (agent === null) throw notRunning(config)
    const found = await agent.get<AgentStatus>('/status')
    context.json(found)
    for (const line of describeStatus(found)) context.out(line)
    return unreadiness(found).length === 0 ? 0 : 1
  },
}

export function describeStatus({
  name,
  version,
  pid,
  startedAt,
  enrolment,
  sources,
  buffer,
  clock,
  uplink,
  rssBytes,
  sabotage,
}: AgentStatus): string[] {
  return [
    `agent      ${name}, version ${version}, pid ${pid}, since ${startedAt}, ${Math.round(rssBytes / 1e6)} MB of memory`,
    enrolment === null
      ? 'identity   not enrolled: readings are kept until it is'
      : `identity   ${enrolment.agentId}, site ${enrolment.site}`,
    ...sources.map(describeSource),
    `buffer     ${buffer.writable ? 'writable' : 'CANNOT COMMIT'}, ${buffer.backlogReadings} readings wait, ${buffer.files} files, ${formatBytes(buffer.bytes)}`,
    ...describeCounters(buffer.counters),
    describeClock(clock, buffer),
    ...describeWindows(buffer.windows),
    ...(buffer.deadLetters === 0
      ? []
      : [`letters    ${buffer.deadLetters} payloads did not decode: tributary-agent deadletter list`]),
    ...(uplink === null ? [] : describeBacklog(buffer, uplink)),
    uplink === null
      ? 'uplink     off'
      : `uplink     ${uplink.state} to ${uplink.hub}${uplink.proxy === null ? '' : ` through ${uplink.proxy}`}${uplink.detail === '' ? '' : `: ${uplink.detail}`}; ${uplink.sentBatches} batches, ${uplink.sentReadings} readings sent`,
    ...sabotage.map(word => `SABOTAGE   ${word}`),
  ]
}

/** By whose time readings are stamped that bring none, and how many wait for one. */
function describeClock(clock: ClockStatus, { unplacedReadings }: BufferStats): string {
  const waiting = unplacedReadings === 0 ? '' : `; ${unplacedReadings} readings wait for their place in time`
  const { source, trustedSinceMs, offsetMs, errorMs } = clock
  if (trustedSinceMs === null)
    return `clock      no time is trusted yet: readings without one are kept, and placed later${waiting}`
  const since = new Date(trustedSinceMs).toISOString()
  const machine =
    offsetMs === null || offsetMs === 0 ? 'as this machine has it' : `this machine is ${described(offsetMs)}`
  return `clock      trusted since ${since}, by ${source}, to ${errorMs} ms; ${machine}${waiting}`
}

function described(offsetMs: number): string {
  const off = Math.abs(offsetMs)
  return `${off < 10_000 ? `${off} ms` : formatDuration(Math.round(off / 1000) * 1000)} ${offsetMs > 0 ? 'behind' : 'ahead'}`
}

/** Nothing when no policy folds. */
function describeWindows({ open, closed, closedEarly, sealed, late }: WindowStats): string[] {
  if (open + closed === 0) return []
  const early = closedEarly === 0 ? '' : ` (${closedEarly} early: too many open)`
  return [`windows    ${open} open, ${closed} closed${early}, ${sealed} in batches, ${late} readings late`]
}

function describeSource(source: NamedSourceStatus): string {
  const { name, state, detail, messages, deadLettered, duplicates, failures, lastError } = source
  const failed =
    lastError === null
      ? ''
      : `; failed ${failures} times, last ${new Date(lastError.atMs).toISOString()}${state === 'running' ? `: ${lastError.detail}` : ''}`
  return `source     ${name}: ${state}, ${detail}, ${messages} messages, ${deadLettered} not decoded, ${duplicates} told again${failed}`
}

/** What waits, since when, and how long it will take; nothing when the hub has everything. */
function describeBacklog({ oldestUs, resealedBatches }: BufferStats, uplink: UplinkStatus): string[] {
  const { backlogReadings, apart, lanes, credits, drainReadingsPerS, estimatedDrainMs } = uplink
  const resealed =
    resealedBatches === 0
      ? []
      : [`resealed   ${resealedBatches} batches: the hub had others under their identity; is this gateway cloned?`]
  if (backlogReadings === 0) return resealed
  const since = oldestUs === null ? '' : `, oldest ${new Date(oldestUs / 1000).toISOString()}`
  const left = estimatedDrainMs === null ? 'nothing leaves' : `about ${roughly(estimatedDrainMs)} left`
  const order = apart ? `live first, ${credits} backlog batches at once` : 'in order'
  const sent = (['live', 'backlog'] as const).map(lane => `${lanes[lane].sentReadings} ${lane}`).join(' + ')
  return [
    `backlog    ${backlogReadings} readings${since}; ${Math.round(drainReadingsPerS)} readings/s, ${left}; ${order}; sent ${sent}`,
    ...resealed,
  ]
}

/** In whole seconds, from two minutes on in whole minutes. */
function roughly(ms: number): string {
  const stepMs = ms < 120_000 ? 1000 : 60_000
  return formatDuration(Math.ceil(ms / stepMs) * stepMs)
}
