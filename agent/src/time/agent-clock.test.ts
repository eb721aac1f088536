import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AgentClock, type BootTrust, machineClock, type TrustSource } from './agent-clock.ts'
import { BootClock } from './boot-clock.ts'

const t0Us = 1_760_000_000_000_000

/** A clock on a machine whose clocks stand still until they are moved. */
function onMachine(trust: readonly TrustSource[] = ['hub', 'ntp']) {
  const machine = { monotonicUs: 0, wallUs: 0 }
  const readings = { monotonicUs: () => machine.monotonicUs, wallUs: () => machine.wallUs, uptimeUs: () => null }
  const clock = new AgentClock(new BootClock('a', readings), trust)
  const told: BootTrust[] = []
  clock.onTrust(one => told.push(one))
  const learn = (source: TrustSource, timeUs: number, errorUs = 0) =>
    clock.learn(source, { bootUs: machine.monotonicUs, timeUs, errorUs })
  return { machine, clock, told, learn }
}

describe('while no time is trusted', () => {
  test('messages are stamped by the clock of the boot, whatever the wall clock says', () => {
    const { machine, clock } = onMachine()
    machine.monotonicUs = 7e6
    for (machine.wallUs of [0, 4e15]) expect(clock.stamp()).toEqual({ tsUs: 7e6, placed: false })
    expect(clock.nowUs()).toBeNull()
    expect(clock.status()).toMatchObject({ trusted: false, source: null, trustedSinceMs: null, offsetMs: null })
  })

  test('a source that is not named changes nothing; a guess is told, and changes nothing here', () => {
    const { clock, told, learn } = onMachine(['hub'])
    expect(learn('ntp', t0Us)).toBe('ignored')
    clock.guess({ bootUs: 0, timeUs: t0Us, errorUs: 0 })
    expect(clock.trusted).toBe(false)
    expect(told).toMatchObject([{ certain: false, placing: { timeUs: t0Us } }])
  })
})

describe('trust', () => {
  test('is gained by the first word, and the wall clock may jump from then on', () => {
    const { machine, clock, learn, told } = onMachine()
    machine.monotonicUs = 5e6
    expect(learn('ntp', t0Us)).toBe('gained')
    machine.monotonicUs = 9e6
    for (machine.wallUs of [0, 4e15, -1]) expect(clock.stamp()).toEqual({ tsUs: t0Us + 4e6, placed: true })
    expect(told).toEqual([
      {
        placing: { bootUs: 5e6, timeUs: t0Us, rate: 0 },
        latest: { bootUs: 5e6, timeUs: t0Us, rate: 0 },
        certain: true,
        source: 'ntp',
      },
    ])
  })

  test('goes to the source named first, and not back', () => {
    const { clock, learn } = onMachine(['hub', 'ntp', 'system'])
    expect(learn('system', t0Us)).toBe('gained')
    expect(learn('hub', t0Us + 30e6)).toBe('corrected')
    expect(learn('ntp', t0Us)).toBe('ignored')
    expect(clock.status()).toMatchObject({ source: 'hub', corrections: 1 })
    expect(clock.nowUs()).toBe(t0Us + 30e6)
  })

  test('what places earlier readings stays as it was when trust was gained', () => {
    const { machine, told, learn } = onMachine()
    learn('hub', t0Us)
    machine.monotonicUs = 10e6
    learn('hub', t0Us + 10.3e6)
    expect(told.map(({ placing }) => placing.timeUs)).toEqual([t0Us, t0Us])
    expect(told[1]?.latest.timeUs).toBe(t0Us + 10.3e6)
  })

  test('outlives the process within a boot, with the rate; of another boot only the rate', () => {
    const { told, learn, machine } = onMachine()
    learn('hub', t0Us)
    for (machine.monotonicUs of [100e6, 200e6]) learn('hub', t0Us + machine.monotonicUs * 1.0001)
    const again = onMachine()
    again.clock.resume({ trust: told.at(-1)!, rate: 0 })
    again.machine.monotonicUs = 300e6
    expect(again.clock.stamp()).toEqual({ tsUs: t0Us + 300.03e6, placed: true })
    const other = onMachine()
    other.clock.resume({ trust: null, rate: 1e-4 })
    expect(other.clock.trusted).toBe(false)
    other.learn('hub', t0Us)
    other.machine.monotonicUs = 100e6
    expect(other.clock.nowUs()).toBe(t0Us + 100.01e6)
  })

  test('by a source that is not trusted any more is not taken up again', () => {
    const { told, learn } = onMachine()
    learn('ntp', t0Us)
    const again = onMachine(['hub'])
    again.clock.resume({ trust: told[0]!, rate: 0 })
    expect(again.clock.trusted).toBe(false)
  })
})

describe('a correction', () => {
  test('forward is followed at once', () => {
    const { clock, learn } = onMachine()
    learn('hub', t0Us)
    learn('hub', t0Us + 900_000)
    expect(clock.stamp().tsUs).toBe(t0Us + 900_000)
  })

  test('back by less than 2 s slows the stamps until they are right', () => {
    const { machine, clock, learn } = onMachine()
    learn('hub', t0Us)
    machine.monotonicUs = 100_000
    learn('hub', t0Us - 400_000)
    expect(clock.stamp().tsUs).toBe(t0Us + 100_000)
    machine.monotonicUs += 1e6
    expect(clock.stamp().tsUs).toBe(t0Us + 1_000_000)
    machine.monotonicUs += 4e6
    expect(clock.stamp().tsUs).toBe(clock.nowUs())
    expect(clock.status().stepsBack).toBe(0)
  })

  test('back by more is a step, and counted', () => {
    const { clock, learn } = onMachine()
    learn('hub', t0Us)
    clock.stamp()
    expect(learn('hub', t0Us - 3e6)).toBe('stepped-back')
    expect(clock.stamp().tsUs).toBe(t0Us - 3e6)
    expect(clock.status().stepsBack).toBe(1)
  })
})

test('whatever the wall clock does and small corrections say: stamps never go back, and end at the trusted time', () => {
  const step = fc.record({
    afterUs: fc.integer({ min: 0, max: 20e6 }),
    wallUs: fc.integer({ min: -4e15, max: 4e15 }),
    errorUs: fc.integer({ min: 0, max: 300_000 }),
    offUs: fc.option(fc.integer({ min: -900_000, max: 900_000 }), { nil: null }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const { machine, clock, learn } = onMachine()
      learn('hub', t0Us)
      let beforeUs = 0
      for (const { afterUs, wallUs, offUs, errorUs } of steps) {
        machine.monotonicUs += afterUs
        machine.wallUs = wallUs
        if (offUs !== null) learn('hub', t0Us + machine.monotonicUs + offUs, errorUs)
        const { tsUs, placed } = clock.stamp()
        expect(placed && Number.isSafeInteger(tsUs)).toBe(true)
        if (clock.status().stepsBack === 0) expect(tsUs).toBeGreaterThanOrEqual(beforeUs)
        beforeUs = tsUs
      }
      machine.monotonicUs += 1e9
      expect(Math.abs(clock.stamp().tsUs - clock.nowUs()!)).toBeLessThanOrEqual(1)
    }),
  )
})

test('a clock that believes the machine goes on from there', () => {
  const machine = { monotonicUs: 3, wallUs: t0Us }
  const readings = { monotonicUs: () => machine.monotonicUs, wallUs: () => machine.wallUs, uptimeUs: () => null }
  const clock = machineClock(new BootClock('a', readings))
  machine.monotonicUs = 13
  machine.wallUs = 0
  expect(clock.stamp()).toEqual({ tsUs: t0Us + 10, placed: true })
})
