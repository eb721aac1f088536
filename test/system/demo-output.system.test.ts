/** What the demo writes, and where: to a terminal, to a pipe, to a machine, to nobody; and how it is used wrongly. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { DemoInTerminal, nothingRunsIn, processesIn, scratchFolder, startDemo } from './running-demo.ts'

const timeout = 120_000
const esc = '\x1b'
const rewrite = `\r${esc}[K`
const colour = new RegExp(`${esc}\\[\\d+m`)

/** The status line as it was rewritten, each time. */
function statusLines(output: string): string[] {
  const drawn = output.split(rewrite).map(part => part.split('\r\n').at(-1)!)
  return drawn.map(stripVTControlCharacters).filter(line => /^\d+:\d\d {1,2}sent \d/.test(line))
}

describe.concurrent('in a terminal', () => {
  for (const columns of [40, 80])
    test(`of ${columns} columns the status line is rewritten in place and never wraps`, { timeout }, async () => {
      await using state = await scratchFolder()
      const demo = new DemoInTerminal({ args: ['--for', '10s', '--state', state.path], columns })
      expect(await demo.ended()).toBe(0)
      const lines = statusLines(demo.output)
      expect(lines.length).toBeGreaterThan(10)
      for (const line of lines) expect(line.length).toBeLessThan(columns)
      expect(demo.output).toMatch(colour)
    })

  const plain = { 'NO_COLOR=1': { NO_COLOR: '1' }, 'TERM=dumb': { TERM: 'dumb' } }
  for (const [name, env] of Object.entries(plain))
    test(`with ${name} there is no colour${name === 'TERM=dumb' ? ' and nothing is rewritten' : ''}`, {
      timeout,
    }, async () => {
      await using state = await scratchFolder()
      const demo = new DemoInTerminal({ args: ['--state', state.path], env })
      await demo.said(/the network is back/)
      demo.pressCtrlC()
      await demo.ended()
      expect(demo.output).not.toMatch(colour)
      if (name === 'TERM=dumb') expect(demo.output).not.toContain(esc)
      else expect(statusLines(demo.output).length).toBeGreaterThan(5)
    })
})

describe.concurrent('without a terminal', () => {
  test('--json is one document alone on stdout, without escapes, and the admin key is nowhere', {
    timeout,
  }, async () => {
    await using state = await scratchFolder()
    const demo = startDemo({ args: ['--for', '10s', '--json', '--state', state.path], env: { FORCE_COLOR: undefined } })
    expect(await demo.result()).toMatchObject({ lost: 0, duplicated: 0 })
    const [folder] = await readdir(state.path)
    const key = (await readFile(join(state.path, folder!, 'hub/admin-key'), 'utf8')).trim()
    expect(key.length).toBeGreaterThan(20)
    expect(demo.stdout + demo.stderr).not.toContain(key)
    expect(demo.stdout + demo.stderr).not.toContain(esc)
    expect(demo.stdout.trim().split('\n')).toHaveLength(1)
  })

  test('a reader that leaves ends it: npm run demo | head -1', { timeout }, async () => {
    await using state = await scratchFolder()
    const line = `npm run -s demo -- --state ${state.path} | head -1`
    const demo = startDemo({ command: ['sh', '-c', line] })
    expect(await demo.ended()).toBe(0)
    expect(demo.stdout).toMatch(/^.*starting the hub.*\n$/)
    await nothingRunsIn(state.path, 20_000)
    expect(demo.stderr).not.toMatch(/^\s+at /m)
  })

  test('a closed stderr changes nothing', { timeout }, async () => {
    await using state = await scratchFolder()
    const line = `npm run -s demo -- --for 10s --json --state ${state.path} 2>&-`
    const demo = startDemo({ command: ['sh', '-c', line] })
    expect(await demo.result()).toMatchObject({ lost: 0, duplicated: 0 })
    expect(await processesIn(state.path)).toEqual([])
  })
})

describe.concurrent('its command line', () => {
  const wrong: Record<string, RegExp> = {
    '--for 9s': /^npm run: --for cannot be "9s"\n {2}It is 10s to 3h\.\n$/,
    '--for 3h1s': /^npm run: --for cannot be "3h1s"\n {2}It /,
    '--for 10801s': /^npm run: --for cannot be "10801s"\n {2}It is 10s to 3h\.\n$/,
    '--for abc': /^npm run: --for cannot be "abc"\n {2}It /,
    '--for=-10s': /^npm run: --for cannot be "-10s"\n {2}It /,
    '--for -10s': /^npm run: .*--for/,
    '--for': /^npm run: .*--for/,
    '--tempo 2': /^npm run: demo has no option --tempo\n {2}See .*--help\n$/,
    '--fro 10s': /did you mean --for\?/,
    now: /^npm run: /,
  }
  for (const [line, says] of Object.entries(wrong))
    test(`${line} is wrong use: exit code 2 and what it takes`, { timeout }, async () => {
      await using state = await scratchFolder()
      const demo = startDemo({ args: ['--state', state.path, ...line.split(' ')] })
      expect(await demo.ended()).toBe(2)
      expect(demo.stderr).toMatch(says)
      expect(await readdir(state.path)).toEqual([])
    })

  test('--help shows the options; --clean alone removes what there is, also nothing', { timeout }, async () => {
    await using state = await scratchFolder()
    const help = startDemo({ args: ['--help'] })
    expect(await help.ended()).toBe(0)
    expect(help.stdout).toMatch(/--for TIME .*\n.*--clean .*\n.*--state DIR .*\n.*--json/)
    const clean = startDemo({ args: ['--clean', '--state', join(state.path, 'not-there')] })
    expect(await clean.ended()).toBe(0)
    expect(clean.stdout + clean.stderr).toBe('')
  })

  test('--clean with --for leaves nothing behind', { timeout }, async () => {
    await using state = await scratchFolder()
    const demo = startDemo({ args: ['--for', '10s', '--clean', '--json', '--state', state.path] })
    expect(await demo.result()).toMatchObject({ lost: 0, duplicated: 0 })
    expect(await readdir(state.path)).toEqual([])
  })
})
