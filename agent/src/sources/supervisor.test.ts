import { pino } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { Supervisor } from './supervisor.ts'

const warnings: string[] = []
const log = pino({ level: 'warn' }, { write: line => void warnings.push(line) })
let supervisor: Supervisor
afterEach(async () => {
  await supervisor.stop()
  warnings.length = 0
})

/** Lives as told, one after the other; the last one lasts until the stop. */
function supervise(lives: readonly ('fails' | 'ends' | 'hears')[]): Supervisor {
  let life = 0
  supervisor = new Supervisor({
    where: 'port',
    retry: { baseMs: 4, capMs: 8 },
    log,
    live: async (running, signal) => {
      const how = lives[life++]
      if (how === 'fails') throw new Error(`no ${life}`)
      running('heard')
      if (how === 'hears') await new Promise(resolve => signal.addEventListener('abort', resolve))
    },
  })
  return supervisor
}

test('what fails or ends is started again until it hears, and says how often and why', async () => {
  supervise(['fails', 'ends', 'fails', 'hears'])
  expect(supervisor.status()).toEqual({ state: 'stopped', detail: 'port', failures: 0, lastError: null })
  await supervisor.start()
  await vi.waitFor(() => expect(supervisor.status()).toMatchObject({ state: 'running', failures: 3 }))
  expect(supervisor.status()).toMatchObject({ detail: 'heard', lastError: { detail: 'no 3' } })
  await supervisor.stop()
  expect(supervisor.status().state).toBe('stopped')
})

test('the same trouble again is logged once', async () => {
  supervise(['fails', 'fails', 'fails', 'fails', 'hears'])
  await supervisor.start()
  expect(supervisor.status()).toMatchObject({ state: 'waiting', detail: 'port: no 1' })
  await vi.waitFor(() => expect(supervisor.status().state).toBe('running'))
  expect(warnings).toHaveLength(1)
})

test('a start that no other try can mend is refused, and nothing runs on', async () => {
  supervise(['fails', 'hears'])
  await expect(supervisor.start(() => true)).rejects.toThrow('no 1')
  expect(supervisor.status().state).toBe('stopped')
})

test('what fails later is tried again, whatever the start would have refused', async () => {
  supervise(['ends', 'fails', 'hears'])
  await supervisor.start(() => true)
  await vi.waitFor(() => expect(supervisor.status()).toMatchObject({ state: 'running', failures: 2 }))
})
