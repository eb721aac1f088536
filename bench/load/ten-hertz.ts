/** Machines that are read ten times a second: a temperature that swings by 10 degrees in ten minutes, with noise of 0.02, in hundredths. */
import type { Reading } from '@tributary/shared/reading'

const startUs = 1_763_820_000_000_000
const everyUs = 100_000

/** One reading of each machine, `rounds` times. */
export function* tenHertz(machines: number, rounds: number): Generator<Reading[]> {
  let seed = 1
  const noise = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return (seed / 2 ** 32 - 0.5) * 0.04
  }
  for (let round = 0; round < rounds; round++) {
    yield Array.from({ length: machines }, (_, machine) => {
      const value = 20 + 5 * Math.sin((2 * Math.PI * round) / 6000 + machine) + noise()
      const series = { device: `machine-${machine}`, metric: 'temperature', unit: 'Cel' }
      return { series, tsUs: startUs + round * everyUs, value: Math.round(value * 100) / 100, quality: 0 }
    })
  }
}
