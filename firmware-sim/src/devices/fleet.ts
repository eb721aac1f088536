/**
 * A fleet of pretended machines: seeded, endless, in the order of time.
 *
 * The same seed and the same start give the same devices, times, values and faults on every run and machine. Device i speaks
 * `rateHz` times a second, shifted by its own phase so that the fleet does not speak in one breath.
 */
import { createFaults, type Fault, type FaultRule, type TellTruth } from '../faults/fault.ts'
import { type DutyCycle, defaultDutyCycle } from '../signals/duty-cycle.ts'
import type { Emission } from '../signals/emission.ts'
import { createMachine } from '../signals/machine.ts'
import { createRandom } from '../signals/random.ts'
import type { Signal } from '../signals/signal.ts'

export interface FleetOptions {
  readonly seed: string
  readonly devices: number
  /** Emissions a second of each device. */
  readonly rateHz: number
  /** The time of the fleet's first breath, µs since 1970 UTC. */
  readonly startUs: number
  /** Emissions of all devices together, before faults take or add some; default endless. */
  readonly count?: number
  /** No emission at this time or later, µs since 1970 UTC; default endless. */
  readonly endUs?: number
  /** Metrics that are reported; default all of a machine's. */
  readonly metrics?: readonly string[]
  readonly dutyCycle?: DutyCycle
  readonly faults?: readonly FaultRule[]
  readonly truth?: TellTruth
}

interface Device {
  readonly name: string
  readonly phaseUs: number
  readonly signals: readonly Signal[]
  readonly faults: Fault
}

export function* createFleet(options: FleetOptions): Generator<Emission> {
  const { rateHz, startUs, count = Number.POSITIVE_INFINITY, endUs = Number.POSITIVE_INFINITY } = options
  const devices = Array.from({ length: options.devices }, (_, i) => createDevice(i, options))
  devices.sort((a, b) => a.phaseUs - b.phaseUs)
  for (let emitted = 0; emitted < count; emitted++) {
    const seq = Math.floor(emitted / devices.length)
    const device = devices[emitted % devices.length]!
    const tsUs = startUs + device.phaseUs + Math.round((seq * 1e6) / rateHz)
    if (tsUs >= endUs) break
    const readings = device.signals.map(({ metric, unit, next }) => ({ metric, unit, value: next(tsUs) }))
    yield* device.faults.apply({ device: device.name, tsUs, seq, readings })
  }
  for (const device of devices) yield* device.faults.end()
}

function createDevice(index: number, options: FleetOptions): Device {
  const { seed, rateHz, metrics, dutyCycle = defaultDutyCycle, faults = [], truth = () => undefined } = options
  const name = `machine-${String(index + 1).padStart(3, '0')}`
  return {
    name,
    phaseUs: Math.floor((createRandom(seed, `${name}/phase`).uniform() * 1e6) / rateHz),
    signals: createMachine(seed, name, dutyCycle).filter(s => metrics?.includes(s.metric) ?? true),
    faults: createFaults(faults, name, seed, truth),
  }
}
