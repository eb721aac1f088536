import { describe, expect, it } from 'vitest'
import { createDutyCycle } from './duty-cycle.ts'
import { createMachine } from './machine.ts'
import { createRandom } from './random.ts'
import { quantise } from './signal.ts'

const startUs = Date.UTC(2026, 0, 1) * 1000
type Row = Record<string, number | boolean>

function run(seed: string, name: string, seconds: number, stepS = 1): Row[] {
  const signals = createMachine(seed, name)
  return Array.from({ length: seconds / stepS }, (_, i) =>
    Object.fromEntries(signals.map(s => [s.metric, s.next(startUs + i * stepS * 1e6)])),
  )
}
const mean = (rows: Row[], metric: string) => rows.reduce((sum, row) => sum + Number(row[metric]), 0) / rows.length

describe('a machine', () => {
  it('gives the same values for the same seed, name and times, and others otherwise', () => {
    expect(run('7', 'm1', 600)).toEqual(run('7', 'm1', 600))
    expect(run('7', 'm1', 600)).not.toEqual(run('8', 'm1', 600))
    expect(run('7', 'm1', 600)).not.toEqual(run('7', 'm2', 600))
  })

  it('runs and rests, and its power, vibration and temperature follow', () => {
    const rows = run('1', 'm1', 7200)
    const [running, resting] = [rows.filter(r => r.running), rows.filter(r => !r.running)]
    expect(running.length).toBeGreaterThan(1800)
    expect(resting.length).toBeGreaterThan(300)
    expect(mean(running, 'power')).toBeGreaterThan(4 * mean(resting, 'power'))
    expect(mean(running, 'vibration')).toBeGreaterThan(4 * mean(resting, 'vibration'))
    expect(mean(running, 'temperature')).toBeGreaterThan(mean(resting, 'temperature') + 3)
  })

  it('counts parts only upwards, in whole numbers, and only while it runs', () => {
    const rows = run('1', 'm1', 7200)
    for (const [i, row] of rows.entries()) {
      const made = Number(row.parts) - Number(rows[i - 1]?.parts ?? row.parts)
      expect(Number.isInteger(made) && made >= 0).toBe(true)
      if (!row.running) expect(made).toBe(0)
    }
    expect(Number(rows.at(-1)?.parts)).toBeGreaterThan(Number(rows[0]?.parts) + 100)
  })

  it('is warmer in the afternoon than before dawn', () => {
    const rows = run('3', 'm1', 86_400 * 4, 60)
    const at = (hour: number) => rows.filter((row, i) => !row.running && Math.floor((i / 60) % 24) === hour)
    expect(mean(at(15), 'temperature')).toBeGreaterThan(mean(at(3), 'temperature') + 3)
  })

  it('reads analogue values through 12 bits', () => {
    const step = 165 / 4095
    for (const row of run('1', 'm1', 300)) {
      const code = (Number(row.temperature) + 40) / step
      expect(Math.abs(code - Math.round(code))).toBeLessThan(1e-4)
    }
  })
})

describe('an analogue-digital converter', () => {
  const range = { min: -10, max: 10, bits: 2 }
  it('gives the nearest code and saturates at both ends', () => {
    expect([-99, -10, -7, -6, 0.1, 9, 99].map(v => quantise(v, range))).toEqual([
      -10, -10, -10, -3.333333, 3.333333, 10, 10,
    ])
  })
})

describe('a duty cycle', () => {
  it('runs for its share of the time', () => {
    const runs = createDutyCycle({ runS: 60, restS: 20 }, createRandom('d'))
    const samples = Array.from({ length: 100_000 }, (_, i) => runs(startUs + i * 1e6))
    expect(samples.filter(Boolean).length / samples.length).toBeCloseTo(0.75, 1)
  })

  it('may be asked after any gap', () => {
    const runs = createDutyCycle({ runS: 60, restS: 20 }, createRandom('d'))
    runs(startUs)
    expect(typeof runs(startUs + 30 * 86_400e6)).toBe('boolean')
  })
})
