/**
 * The five signals of one pretended machine, all driven by one duty cycle: temperature, vibration, power, parts made, running.
 *
 * Temperature follows the load with a lag and the day with the sun, vibration and power follow the load at once, the counter
 * counts while the machine runs. Analogue signals carry noise and a slow random-walk drift and pass a 12-bit converter. Every
 * machine has its own nominal load and phase.
 */
import { createDutyCycle, type DutyCycle, defaultDutyCycle } from './duty-cycle.ts'
import { createRandom, type Random } from './random.ts'
import { type AdcRange, quantise, type Signal } from './signal.ts'

const temperatureRange: AdcRange = { min: -40, max: 125, bits: 12 }
const vibrationRange: AdcRange = { min: 0, max: 25, bits: 12 }
const powerRange: AdcRange = { min: 0, max: 30, bits: 12 }

const dayUs = 86_400e6
/** Time constant of warming and cooling, seconds. */
const warmingS = 120

export function createMachine(seed: string, name: string, cycle: DutyCycle = defaultDutyCycle): Signal[] {
  const stream = (label: string) => createRandom(seed, `${name}/${label}`)
  const runs = createDutyCycle(cycle, stream('duty'))
  const load = 0.7 + 0.6 * stream('load').uniform()
  return [
    temperature(runs, load, stream('temperature')),
    vibration(runs, load, stream('vibration')),
    power(runs, load, stream('power')),
    parts(runs, load, stream('parts')),
    { metric: 'running', unit: '', next: runs },
  ]
}

type Runs = (tsUs: number) => boolean

function temperature(runs: Runs, load: number, random: Random): Signal {
  const drift = randomWalk(0.002, random)
  const elapsed = stopwatch()
  let rise: number | null = null
  return {
    metric: 'temperature',
    unit: 'Cel',
    next(tsUs) {
      const target = runs(tsUs) ? 35 * load : 0
      const dtS = elapsed(tsUs)
      rise = rise === null ? target : rise + (target - rise) * (1 - Math.exp(-dtS / warmingS))
      // Warmest at 15:00 UTC.
      const ambient = 21 + 4 * Math.cos((2 * Math.PI * (tsUs - 15 * 3_600e6)) / dayUs)
      return quantise(ambient + rise + drift(dtS) + 0.08 * random.normal(), temperatureRange)
    },
  }
}

function vibration(runs: Runs, load: number, random: Random): Signal {
  const drift = randomWalk(0.0005, random)
  const elapsed = stopwatch()
  return {
    metric: 'vibration',
    unit: 'mm/s',
    next(tsUs) {
      const level = runs(tsUs) ? 2.4 * load + drift(elapsed(tsUs)) : 0.05
      return quantise(level * (1 + 0.08 * random.normal()), vibrationRange)
    },
  }
}

function power(runs: Runs, load: number, random: Random): Signal {
  return {
    metric: 'power',
    unit: 'kW',
    next(tsUs) {
      // Loading and unloading of the tool, every 12 s.
      const work = 1 + 0.15 * Math.sin((2 * Math.PI * (tsUs % 12e6)) / 12e6)
      return quantise((runs(tsUs) ? 7.5 * load * work : 0.2) + 0.05 * random.normal(), powerRange)
    },
  }
}

function parts(runs: Runs, load: number, random: Random): Signal {
  const elapsed = stopwatch()
  let made = random.integer(0, 100_000)
  let done = random.uniform()
  return {
    metric: 'parts',
    unit: '{count}',
    next(tsUs) {
      const dtS = elapsed(tsUs)
      if (runs(tsUs)) done += 0.25 * load * dtS
      made += Math.floor(done)
      done -= Math.floor(done)
      return made
    },
  }
}

/** Seconds since it was last asked; 0 at first. */
function stopwatch(): (tsUs: number) => number {
  let lastUs: number | null = null
  return tsUs => {
    const dtS = lastUs === null ? 0 : (tsUs - lastUs) / 1e6
    lastUs = tsUs
    return dtS
  }
}

/** A random walk of that many units per root second, held near zero by a pull of one hour. */
function randomWalk(perRootS: number, random: Random): (dtS: number) => number {
  let at = 0
  return dtS => {
    at += -at * Math.min(1, dtS / 3600) + perRootS * Math.sqrt(dtS) * random.normal()
    return at
  }
}
