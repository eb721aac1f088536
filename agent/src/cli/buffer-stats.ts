/** `buffer stats`: what the buffer holds and what became of the readings. The running agent is asked; when none runs, the buffer is opened here. */
import type { Command } from '@tributary/shared/cli'
import { formatBytes } from '@tributary/shared/config-schema'
import type { BufferStats } from '../buffer/buffer.ts'
import { openBuffer } from '../buffer/sqlite-buffer.ts'
import { makeDataFolder } from '../config/data-folder.ts'
import { bufferSlice } from '../config/stage-configs.ts'
import type { AgentStatus, DeviceWrites } from '../health/agent-status.ts'
import { configOption, readConfigOption } from './config-option.ts'
import { describeCounters } from './describe-counters.ts'
import { findRunningAgent } from './running-agent.ts'

export const bufferStats: Command = {
  name: 'buffer stats',
  summary: 'what the buffer holds, what became of the readings, and what was written to the device',
  options: configOption,
  examples: ['tributary-agent buffer stats', 'tributary-agent buffer stats --json | jq .buffer.counters.classes'],
  async run(context) {
    const config = await readConfigOption(context)
    const agent = await findRunningAgent(config)
    if (agent !== null) {
      const { buffer, deviceWrites } = await agent.get<AgentStatus>('/status')
      context.json({ running: true, buffer, deviceWrites })
      for (const line of [...describeBuffer(buffer), describeWrites(deviceWrites)]) context.out(line)
      return 0
    }
    await makeDataFolder(config.dataDir)
    const slice = bufferSlice(config)
    const buffer = await openBuffer({ ...slice, agentId: () => null, worker: false, notify: context.note })
    try {
      const stats = await buffer.stats()
      context.json({ running: false, buffer: stats, deviceWrites: null })
      for (const line of describeBuffer(stats)) context.out(line)
    } finally {
      await buffer.close()
    }
    return 0
  },
}

function describeBuffer(buffer: BufferStats): string[] {
  const { files, bytes, backlogReadings, unsealedLive, unsealedBacklog, backlogRanges, sealedPending } = buffer
  const lost = buffer.losses.reduce((sum, { readings }) => sum + readings, 0)
  return [
    `files      ${files}, ${formatBytes(bytes)}`,
    `waiting    ${backlogReadings} readings: ${unsealedLive} live, ${unsealedBacklog} in ${backlogRanges} ranges of backlog, the rest in ${sealedPending} sealed batches`,
    ...describeCounters(buffer.counters),
    `ledger     ${buffer.losses.length} losses, ${lost} readings`,
    `letters    ${buffer.deadLetters} kept, ${buffer.deadLettersDropped ?? 0} pushed out`,
  ]
}

function describeWrites({ bytes, readings }: DeviceWrites): string {
  if (bytes === null) return 'device     this system does not tell what was written'
  const each = readings === 0 ? '' : `, ${(bytes / readings).toFixed(1)} bytes a reading`
  return `device     ${formatBytes(bytes)} written by the agent since it started (/proc/self/io)${each}`
}
