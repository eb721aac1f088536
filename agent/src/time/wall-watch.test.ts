import { expect, test } from 'vitest'
import { AgentClock, type TrustSource } from './agent-clock.ts'
import { BootClock } from './boot-clock.ts'
import { NtpState } from './ntp-state.ts'
import { WallWatch } from './wall-watch.ts'

const t0Us = 1_760_000_000_000_000

function watching(trust: readonly TrustSource[]) {
  const machine = { monotonicUs: 0, wallUs: t0Us, markMs: null as number | null, answer: null as boolean | null }
  const readings = { monotonicUs: () => machine.monotonicUs, wallUs: () => machine.wallUs, uptimeUs: () => null }
  const clock = new AgentClock(new BootClock('a', readings), trust)
  let asked = 0
  const ntp = new NtpState({
    markMs: () => machine.markMs,
    ask: async () => {
      asked++
      return machine.answer
    },
  })
  const learned: string[] = []
  const steps: number[] = []
  const watch = new WallWatch({
    clock,
    ntp,
    onLearned: (source, what) => learned.push(`${source} ${what}`),
    onStep: byUs => steps.push(byUs),
  })
  const later = async (us: number, wallUs = us) => {
    machine.monotonicUs += us
    machine.wallUs += wallUs
    await watch.look()
  }
  return { machine, clock, learned, steps, watch, later, asked: () => asked }
}

test('a machine that is not synchronised is not believed', async () => {
  const { clock, watch, learned } = watching(['hub', 'ntp'])
  await watch.look()
  expect(clock.trusted).toBe(false)
  expect(learned).toEqual([])
})

test('the file of timesyncd is believed at the next look, and then confirmed once a minute', async () => {
  const { machine, clock, learned, later } = watching(['hub', 'ntp'])
  await later(1e6)
  machine.markMs = machine.wallUs / 1000
  await later(1e6)
  expect(learned).toEqual(['ntp gained'])
  expect(clock.nowUs()).toBe(t0Us + 2e6)
  await later(59e6)
  expect(learned).toHaveLength(1)
  await later(1e6)
  expect(learned).toEqual(['ntp gained', 'ntp confirmed'])
})

test('a wall clock that was set since is not, until it is synchronised again; the trusted time stands', async () => {
  const { machine, clock, learned, steps, later } = watching(['hub', 'ntp'])
  machine.markMs = machine.wallUs / 1000
  await later(1e6)
  await later(120e6, 7200e6)
  expect(steps).toEqual([7080e6])
  expect(learned).toEqual(['ntp gained'])
  expect(clock.nowUs()).toBe(t0Us + 121e6)
  machine.wallUs -= 7080e6
  machine.markMs = machine.wallUs / 1000
  await later(1e6)
  await later(60e6)
  expect(learned).toEqual(['ntp gained', 'ntp confirmed'])
})

test('the step by which the machine was synchronised does not count against it', async () => {
  const { machine, learned, later } = watching(['ntp', 'hub'])
  machine.wallUs = 0
  await later(1e6)
  machine.markMs = (t0Us + 2e6) / 1000
  await later(1e6, t0Us + 1e6)
  expect(learned).toEqual(['ntp gained'])
})

test('without the file the system is asked, and never again when it cannot answer', async () => {
  const yes = watching(['ntp', 'hub'])
  yes.machine.answer = true
  await yes.later(1e6)
  expect(yes.learned).toEqual(['ntp gained'])
  const mute = watching(['ntp', 'hub'])
  await mute.later(1e6)
  await mute.later(1e6)
  expect(mute.asked()).toBe(1)
})

test('NTP is not looked at where it is not trusted; the machine as it is only where it is named', async () => {
  const { machine, learned, later } = watching(['hub', 'system'])
  machine.markMs = machine.wallUs / 1000
  await later(1e6)
  await later(1e6)
  expect(learned).toEqual(['system gained', 'system confirmed'])
})
