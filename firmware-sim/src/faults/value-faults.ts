/**
 * Faults of the sensor itself. They act on numbers, each metric by itself; booleans, strings and a sensor's other metrics pass.
 *
 * spike: one reading far off. step: the level moves and stays moved. stuck: the last value again and again. drift: the value
 * creeps away, then returns. Sizes are multiples of the metric's own recent spread, so that a fault is as visible in a
 * temperature as in a power; episodes last 20 to 100 readings (a spike: one).
 */
import type { Emission, Measurement } from '../signals/emission.ts'
import type { Random } from '../signals/random.ts'
import type { Fault, TellTruth } from './fault.ts'

export const valueFaults = ['spike', 'step', 'stuck', 'drift'] as const
export type ValueFault = (typeof valueFaults)[number]

interface Episode {
  readonly fromUs: number
  readonly length: number
  /** Added in full by a spike or step, by degrees by a drift. */
  readonly offset: number
  /** What a stuck sensor says. */
  readonly held: number
  toUs: number
  done: number
}

interface Metric {
  /** Running mean and mean absolute deviation, exponentially weighted over about 100 readings. */
  mean: number
  spread: number
  previous: number
  episode: Episode | null
}

export function createValueFault(
  kind: ValueFault,
  rate: number,
  device: string,
  random: Random,
  truth: TellTruth,
): Fault {
  const metrics = new Map<string, Metric>()

  function end(metric: string, state: Metric): void {
    const { episode } = state
    if (episode === null) return
    truth({ fault: kind, device, metric, fromUs: episode.fromUs, toUs: episode.toUs })
    state.episode = null
  }

  function apply(reading: Measurement, tsUs: number): Measurement {
    const { metric, value } = reading
    if (typeof value !== 'number') return reading
    let state = metrics.get(metric)
    if (state === undefined) {
      state = { mean: value, spread: 0, previous: value, episode: null }
      metrics.set(metric, state)
    }
    if (state.episode === null && random.chance(rate)) state.episode = begin(kind, state, tsUs, random)
    observe(state, value)
    const { episode } = state
    if (episode === null) return reading
    episode.toUs = tsUs
    episode.done++
    const shown = disturb(kind, value, episode)
    if (episode.done === episode.length) end(metric, state)
    return { ...reading, value: shown }
  }

  return {
    apply: (emission: Emission) => [{ ...emission, readings: emission.readings.map(r => apply(r, emission.tsUs)) }],
    end() {
      for (const [metric, state] of metrics) end(metric, state)
      return []
    },
  }
}

function begin(kind: ValueFault, state: Metric, tsUs: number, random: Random): Episode {
  const size = Math.max(state.spread, Math.abs(state.mean) * 0.02, 0.1) * (6 + 6 * random.uniform())
  return {
    fromUs: tsUs,
    toUs: tsUs,
    length: kind === 'spike' ? 1 : random.integer(20, 100),
    offset: random.chance(0.5) ? size : -size,
    held: state.previous,
    done: 0,
  }
}

function disturb(kind: ValueFault, value: number, episode: Episode): number {
  switch (kind) {
    case 'spike':
    case 'step':
      return round(value + episode.offset)
    case 'stuck':
      return episode.held
    case 'drift':
      return round(value + (episode.offset * episode.done) / episode.length)
    default:
      return kind satisfies never
  }
}

/** Sensors speak with a few decimals. */
function round(value: number): number {
  return Number(value.toFixed(6))
}

function observe(state: Metric, value: number): void {
  state.mean += (value - state.mean) / 100
  state.spread += (Math.abs(value - state.mean) - state.spread) / 100
  state.previous = value
}
