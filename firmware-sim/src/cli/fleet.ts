/** `firmware-sim fleet`: seeded machines, live or as fast as the agent takes them. */
import type { Command } from '@tributary/shared/cli'
import { createFleet } from '../devices/fleet.ts'
import { pace } from '../devices/pace.ts'
import type { Emission } from '../signals/emission.ts'
import {
  durationOption,
  faultsOption,
  numberOption,
  speedOption,
  textOption,
  timeOption,
  wholeOption,
} from './option-values.ts'
import { playOptions, runPlay } from './run-play.ts'

export const fleetCommand: Command = {
  name: 'fleet',
  summary: 'play a seeded fleet of machines: temperature, vibration, power, parts, running',
  options: {
    devices: { type: 'string', value: 'N', default: '10', help: 'machines' },
    rate: { type: 'string', value: 'R', default: '1', help: 'times a second that each machine speaks' },
    seed: {
      type: 'string',
      value: 'TEXT',
      default: '1',
      help: 'the same seed gives the same values, phases and faults',
    },
    for: { type: 'string', value: 'TIME', help: "how long, in the machines' time: 40s, 5m, 2h" },
    count: { type: 'string', value: 'N', help: 'how many times the machines speak, all together' },
    metrics: { type: 'string', value: 'LIST', help: 'only these: temperature,vibration,power,parts,running' },
    start: { type: 'string', value: 'TIME', help: "the machines' time at the start; default now" },
    speed: {
      type: 'string',
      value: 'N',
      default: '1',
      help: 'how much faster than real time; max: as fast as acknowledged',
    },
    ...playOptions,
  },
  examples: [
    'firmware-sim fleet --devices 20 --rate 2',
    'firmware-sim fleet --seed 7 --for 40s --qos 2 --record sent.jsonl --json',
    'firmware-sim fleet --faults spike=0.001,stuck=0.0005,dropout=0.001@machine-002 --truth faults.jsonl',
    'firmware-sim fleet --devices 1 --serial /tmp/tty-machine --framing acknowledged',
    'firmware-sim fleet --start 2026-01-01T00:00:00Z --for 2h --speed max',
  ],
  async run(context) {
    const { values, signal } = context
    const startUs = timeOption(values, 'start') ?? Date.now() * 1000
    const forMs = durationOption(values, 'for')
    const metrics = textOption(values, 'metrics')?.split(',')
    const speed = speedOption(values)
    const fleet = {
      seed: textOption(values, 'seed') ?? '',
      devices: wholeOption(values, 'devices', 1, 100_000),
      rateHz: numberOption(values, 'rate', 1e-6, 100_000),
      startUs,
      faults: faultsOption(values),
      ...(values.count !== undefined && { count: wholeOption(values, 'count', 1, Number.MAX_SAFE_INTEGER) }),
      ...(forMs !== undefined && { endUs: startUs + forMs * 1000 }),
      ...(metrics !== undefined && { metrics }),
    }
    return runPlay(context, truth =>
      pace<Emission>(createFleet({ ...fleet, truth }), emission => emission.tsUs, speed, signal),
    )
  },
}
