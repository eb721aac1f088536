/**
 * One batch of a small mixed fleet, synthetic and seeded: 20 series, every second ± 2 ms in whole milliseconds, as gateways stamp.
 */
import type { SeriesColumns } from '@tributary/shared/batch/batch'
import type { Value } from '@tributary/shared/reading'

const startMs = 1_763_800_000_000

/** 20 series of `n` readings each. */
export function fleetColumns(seed: number, n: number): SeriesColumns[] {
  const random = seededRandom(seed)
  const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const columns: SeriesColumns[] = []
  const add = (device: string, metric: string, unit: string, next: (i: number) => Value) => {
    const offsetMs = Math.floor(random() * 1000)
    const tsUs = Float64Array.from(
      { length: n },
      (_, i) => (startMs + offsetMs + 1000 * i + Math.floor(random() * 5) - 2) * 1000,
    )
    const values = Array.from({ length: n }, (_, i) => next(i))
    const numeric = values.every(value => typeof value === 'number')
    columns.push({
      series: { device, metric, unit },
      tsUs,
      values: numeric ? Float64Array.from(values) : values,
      quality: null,
    })
  }
  const walk = (from: number, step: number, decimals: number) => {
    let x = from
    return () => {
      x += step * gauss()
      return Number(x.toFixed(decimals))
    }
  }
  for (let k = 1; k <= 6; k++) {
    const celsius = walk(20 + 60 * random(), 0.05, 6)
    add(`press-0${k}`, 'temperature', 'Cel', () =>
      Number(((Math.round(((celsius() + 40) / 165) * 4095) / 4095) * 165 - 40).toFixed(2)),
    )
  }
  for (let k = 1; k <= 3; k++) add(`room-${k}`, 'humidity', '%', walk(40 + 20 * random(), 0.1, 1))
  for (let k = 1; k <= 3; k++) {
    let count = Math.floor(random() * 1e6)
    add(`line-${k}`, 'count', '1', () => {
      count += Math.floor(random() * 4)
      return count
    })
  }
  for (let k = 1; k <= 3; k++) {
    let open = false
    add(`door-${k}`, 'open', '', () => {
      if (random() < 0.05) open = !open
      return open
    })
  }
  add('agv-1', 'lat', 'deg', walk(48.137_154, 1e-5, 6))
  add('agv-1', 'lon', 'deg', walk(11.57549, 1e-5, 6))
  for (let k = 1; k <= 2; k++) add(`pump-${k}`, 'vibration', 'mm/s', i => 1.2 + 0.3 * Math.sin(i / 7) + 0.05 * gauss())
  add('meter-1', 'power', 'W', walk(1500, 15, 1))
  return columns
}

/** mulberry32: numbers in [0, 1). */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
