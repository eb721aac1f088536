import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { decodeBatch } from '@tributary/shared/batch/codec'
import { expect, test } from 'vitest'
import { bufferConfig } from './buffer-config.ts'
import { accept, contents, lawHolds, message } from './buffer-suite.ts'
import { crashPolicy } from './crash-policy.ts'
import { expectedWindows, rowContents, windowsOf } from './fold-kit.ts'
import { openStore } from './open-store.ts'
import { openBuffer } from './sqlite-buffer.ts'
import { closeReader } from './state.ts'

interface Heard {
  readonly acknowledged: Set<number>
  /** epoch/seq → body. */
  readonly sealed: Map<string, string>
  readonly acked: Set<string>
  next: number
}

/** One life of the child: killed with SIGKILL some time after its first acknowledgement. */
async function life(folder: string, where: string, heard: Heard, afterMs: number, policy = ''): Promise<void> {
  const script = fileURLToPath(new URL('./crash-child.ts', import.meta.url))
  const log = join(folder, '..', `${basename(folder)}-${heard.next}.log`)
  writeFileSync(log, '')
  const child = spawn(process.execPath, [script, folder, String(heard.next), where, log, policy], { stdio: 'inherit' })
  while (child.exitCode === null && statSync(log).size === 0) await sleep(5)
  await sleep(afterMs)
  child.kill('SIGKILL')
  if (child.signalCode === null && child.exitCode === null) await once(child, 'close')
  const text = readFileSync(log, 'utf8')
  rmSync(log)
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    const [kind, ...rest] = line.split(' ')
    if (kind === 'a') heard.acknowledged.add(Number(rest[0]))
    if (kind === 's') heard.sealed.set(`${rest[0]}/${rest[1]}`, rest[2] ?? '')
    if (kind === 'k') heard.acked.add(`${rest[0]}/${rest[1]}`)
  }
  heard.next += 1_000_000
}

test.each(['worker', 'in-process'])(
  'killed at any instant, nothing acknowledged is lost, nothing is there twice (%s)',
  async where => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-crash-'))
    const heard: Heard = { acknowledged: new Set(), sealed: new Map(), acked: new Set(), next: 0 }
    try {
      for (const afterMs of [1, 60, 250]) await life(folder, where, heard, afterMs + Math.random() * 50)
      const buffer = await openBuffer({ folder, worker: false, ballastBytes: 0, agentId: () => 'ag-crash' })
      const stats = await buffer.stats()
      expect(stats.losses).toEqual([])
      expect(lawHolds(stats.counters)).toBe(true)

      const pending = await buffer.pending(1000)
      const found: number[] = []
      for (const batch of pending) {
        const known = heard.sealed.get(`${batch.epoch}/${batch.seq}`)
        if (known !== undefined) expect(Buffer.from(batch.body).toString('base64')).toBe(known)
        found.push(...contents(batch.body).map(([, number]) => number))
      }
      const pendingKeys = new Set(pending.map(({ epoch, seq }) => `${epoch}/${seq}`))
      for (const [key, body] of heard.sealed) {
        if (pendingKeys.has(key)) continue
        expect(heard.acked).toContain(key)
        found.push(...contents(Buffer.from(body, 'base64')).map(([, number]) => number))
      }
      for (const lane of ['backlog', 'live'] as const) {
        for (let batch = await buffer.seal(5000, lane); batch; batch = await buffer.seal(5000, lane)) {
          found.push(...contents(batch.body).map(([, number]) => number))
        }
      }
      const unique = new Set(found)
      expect(unique.size).toBe(found.length)
      expect([...heard.acknowledged].filter(number => !unique.has(number))).toEqual([])
      expect(stats.counters.accepted).toBe(found.length)
      const receipts = new Set(buffer.receipts().map(({ id }) => id))
      const last = [...heard.acknowledged].slice(-100)
      expect(last.filter(number => !receipts.has(number))).toEqual([])
      await buffer.close()
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)

test.each(['worker', 'in-process'])(
  'killed at any instant, every window that was sent is exactly the readings that were acknowledged (%s)',
  async where => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-crash-'))
    const heard: Heard = { acknowledged: new Set(), sealed: new Map(), acked: new Set(), next: 0 }
    try {
      for (const afterMs of [1, 150, 400]) await life(folder, where, heard, afterMs + Math.random() * 100, 'fold')
      const options = { folder, worker: false, ballastBytes: 0, agentId: () => 'ag-crash' }
      const buffer = await openBuffer(options)
      await accept(buffer, message([]))
      for (const batch of await buffer.pending(1000)) {
        heard.sealed.set(`${batch.epoch}/${batch.seq}`, Buffer.from(batch.body).toString('base64'))
      }
      for (const lane of ['backlog', 'live'] as const) {
        for (let batch = await buffer.seal(5000, lane); batch; batch = await buffer.seal(5000, lane)) {
          heard.sealed.set(`${batch.epoch}/${batch.seq}`, Buffer.from(batch.body).toString('base64'))
        }
      }
      const { counters, losses } = await buffer.stats()
      await buffer.close()
      expect(losses).toEqual([])
      expect(counters).toMatchObject({ stored: 0, folded: counters.accepted })

      const state = openStore({ config: bufferConfig(options), epoch: 1, sabotage: null, bootId: 'boot' })
      const { held } = rowContents(state)
      closeReader(state)
      state.tail.close()
      const numbers = new Set(held.map(({ value }) => value))
      expect([...heard.acknowledged].filter(number => !numbers.has(number))).toEqual([])
      expect(numbers.size).toBe(counters.accepted)
      const sent = [...heard.sealed.values()].flatMap(body => decodeBatch(Buffer.from(body, 'base64')).aggregates)
      const parts = sent.flatMap(({ series, startUs, data }) =>
        data.map((bytes, index) => ({ series, startUs: startUs[index] as number, data: bytes })),
      )
      expect(parts.length).toBeGreaterThan(100)
      expect(windowsOf(parts)).toEqual(expectedWindows(held, crashPolicy.window.sizeUs))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)
