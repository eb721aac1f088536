/**
 * However the demo is ended, at whatever moment: it ends within seconds, nothing runs on, and it says so without a stack trace.
 * Each run keeps its state in a folder of its own, by which its processes are known.
 */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { DemoInTerminal, nothingRunsIn, processesIn, scratchFolder, startDemo } from './running-demo.ts'

const timeout = 120_000
const stackTrace = /^\s+at .*[:(]\d+/m

/** What the demo says, and so the moment at which it is hit. */
const moments = {
  'while the database is made': /making a Postgres data folder/,
  'while Postgres starts': /starting Postgres/,
  'while the agent enrols': /enrolling an agent/,
  'while the agent starts': /starting the agent/,
  'while devices publish': /sent [1-9]/,
  'while the network is cut': /network to the hub is cut/,
  'while the agent is down': /the agent is killed/,
  'while what is on its way is waited for': /stopped publishing/,
}

describe.concurrent('Ctrl-C', () => {
  for (const [moment, words] of Object.entries(moments))
    test(`${moment}: everything ends within seconds`, { timeout }, async () => {
      await using state = await scratchFolder()
      const demo = new DemoInTerminal({ args: ['--for', '10s', '--state', state.path] })
      await demo.said(words)
      const pressedMs = performance.now()
      demo.pressCtrlC()
      const code = await demo.ended()
      expect(performance.now() - pressedMs).toBeLessThan(15_000)
      expect(await processesIn(state.path)).toEqual([])
      expect(demo.output).not.toMatch(stackTrace)
      const hasResult = /lost 0, stored twice 0/.test(demo.output)
      expect(hasResult ? [0, 130] : [1, 130]).toContain(code)
      if (!hasResult) expect(demo.output).toMatch(/npm run: stopped before it had a result/)
    })

  test('a second one does not wait for what is on its way', { timeout }, async () => {
    await using state = await scratchFolder()
    const demo = new DemoInTerminal({ args: ['--state', state.path] })
    await demo.said(/network to the hub is cut/)
    const agent = await pidsOf(state.path, 'agent/src/main.ts')
    for (const pid of agent) process.kill(pid, 'SIGSTOP')
    demo.pressCtrlC()
    await demo.said(/\^C/)
    await sleep(1000)
    demo.pressCtrlC()
    await demo.said(/stopping/)
    for (const pid of agent) process.kill(pid, 'SIGCONT')
    expect([1, 130]).toContain(await demo.ended())
    expect(demo.output).toMatch(/stopped before it had a result/)
    expect(demo.output).not.toMatch(stackTrace)
    expect(await processesIn(state.path)).toEqual([])
  })
})

describe.concurrent('the terminal is closed', () => {
  for (const moment of ['while the database is made', 'while devices publish'] as const)
    test(`${moment}: everything ends`, { timeout }, async () => {
      await using state = await scratchFolder()
      const demo = new DemoInTerminal({ args: ['--state', state.path] })
      await demo.said(moments[moment])
      demo.close()
      await nothingRunsIn(state.path, 20_000)
    })
})

describe.concurrent('the demo itself is killed', () => {
  for (const moment of ['while the database is made', 'while the agent enrols', 'while devices publish'] as const)
    test(`${moment}: its children end, and the next run removes its folder alone`, { timeout }, async () => {
      await using state = await scratchFolder()
      const demo = startDemo({ args: ['--state', state.path] })
      await demo.said(moments[moment])
      process.kill(await demo.pid(), 'SIGKILL')
      await nothingRunsIn(state.path, 20_000)
      const [left] = await readdir(state.path)
      expect(existsSync(join(state.path, left!, 'tributary-demo.json'))).toBe(true)
      const clean = startDemo({ args: ['--clean', '--state', state.path] })
      expect(await clean.ended()).toBe(0)
      expect(clean.stdout).toContain(`removed ${join(state.path, left!)} of an earlier demo`)
      expect(await readdir(state.path)).toEqual([])
    })

  test('together with its hub: the next run stops the Postgres that is left, and removes the folder', {
    timeout,
  }, async () => {
    await using state = await scratchFolder()
    const demo = startDemo({ args: ['--state', state.path] })
    await demo.said(moments['while devices publish'])
    for (const pid of [await demo.pid(), ...(await pidsOf(state.path, 'hub/src/main.ts'))]) process.kill(pid, 'SIGKILL')
    await demo.ended()
    expect(await processesIn(state.path)).not.toEqual([])
    expect(await startDemo({ args: ['--clean', '--state', state.path] }).ended()).toBe(0)
    expect(await processesIn(state.path)).toEqual([])
    expect(await readdir(state.path)).toEqual([])
  })
})

describe.concurrent('somebody else kills', () => {
  for (const program of ['hub', 'agent'] as const)
    test(`the ${program}: one line says so and names its log`, { timeout }, async () => {
      await using state = await scratchFolder()
      const demo = startDemo({ args: ['--for', '40s', '--json', '--state', state.path] })
      await demo.said(moments['while devices publish'])
      for (const pid of await pidsOf(state.path, `${program}/src/main.ts`)) process.kill(pid, 'SIGKILL')
      const killedMs = performance.now()
      expect(await demo.ended()).toBe(1)
      expect(performance.now() - killedMs).toBeLessThan(15_000)
      const { error } = JSON.parse(demo.stdout) as { error: { message: string; hint: string } }
      expect(error.message).toBe(`${program} ended by itself (SIGKILL)`)
      expect(await readFile(error.hint.replace('Its log is ', ''), 'utf8')).toMatch(/^\{/)
      expect(demo.stderr).not.toMatch(stackTrace)
      expect(await processesIn(state.path)).toEqual([])
    })

  test('Postgres: the hub starts it again, and nothing is lost or stored twice', { timeout }, async () => {
    await using state = await scratchFolder()
    const demo = startDemo({ args: ['--for', '10s', '--json', '--state', state.path] })
    await demo.said(moments['while devices publish'])
    for (const pid of await pidsOf(state.path, 'bin/postgres -D')) process.kill(pid, 'SIGKILL')
    expect(await demo.result()).toMatchObject({ lost: 0, duplicated: 0 })
    expect(await processesIn(state.path)).toEqual([])
  })
})

async function pidsOf(folder: string, program: string): Promise<number[]> {
  return (await processesIn(folder)).filter(line => line.includes(program)).map(line => Number.parseInt(line, 10))
}
