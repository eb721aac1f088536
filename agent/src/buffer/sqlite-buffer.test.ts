import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { accept, bufferSuite, message, reading, type SuiteSubject } from './buffer-suite.ts'
import { heldBytesOf } from './group.ts'
import { openBuffer } from './sqlite-buffer.ts'

function subject(worker: boolean): SuiteSubject {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-buffer-'))
  return {
    open: () => openBuffer({ folder, worker, agentId: () => 'ag-aaaaaaaaaaaaaaaaaaaa' }),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

bufferSuite('SQLite buffer, writer in a worker thread', () => subject(true))
bufferSuite('SQLite buffer, writer in process', () => subject(false))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-buffer-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const agentId = () => 'ag-aaaaaaaaaaaaaaaaaaaa'

test.each([true, false])('two buffers on one folder: the second says in-use (worker: %s)', async worker => {
  const first = await openBuffer({ folder, worker, agentId })
  await expect(openBuffer({ folder, worker, agentId })).rejects.toMatchObject({ code: 'in-use' })
  await accept(first, message([reading('a', 1, 1)]))
  await first.close()
  const second = await openBuffer({ folder, worker, agentId })
  expect((await second.stats()).backlogReadings).toBe(1)
  await second.close()
})

test('a folder that cannot be made is a storage error that names it', async () => {
  const inFile = join(folder, 'file', 'data')
  writeFileSync(join(folder, 'file'), '')
  await expect(openBuffer({ folder: inFile, worker: false, agentId })).rejects.toMatchObject({
    code: 'storage',
    message: expect.stringContaining(inFile),
    hint: expect.any(String),
  })
})

test('a value out of its bounds is refused by name', async () => {
  await expect(openBuffer({ folder, agentId, maxBytes: 1000 })).rejects.toMatchObject({
    code: 'config',
    message: expect.stringContaining('buffer.maxBytes'),
  })
})

test('nothing is sealed before the agent has its id', async () => {
  let id: string | null = null
  const buffer = await openBuffer({ folder, worker: false, agentId: () => id })
  await accept(buffer, message([reading('a', 1, 1)]))
  expect(await buffer.seal(10, 'live')).toBeNull()
  id = agentId()
  expect((await buffer.seal(10, 'live'))?.readings).toBe(1)
  await buffer.close()
})

test('messages held beyond the bound are refused, those within are kept', async () => {
  const buffer = await openBuffer({ folder, worker: false, agentId, maxHeldBytes: 10_000 })
  const results = await Promise.allSettled(
    Array.from({ length: 200 }, (_, tsUs) => accept(buffer, message([reading('a', tsUs, tsUs)]))),
  )
  const kept = results.filter(({ status }) => status === 'fulfilled').length
  expect(kept).toBe(Math.floor(10_000 / heldBytesOf(message([reading('a', 1, 1)]))))
  expect(results.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'storage', retryable: true },
  })
  await accept(buffer, message([reading('a', 1, 1)]))
  expect((await buffer.stats()).counters.accepted).toBe(kept + 1)
  await buffer.close()
})

test('a file written by a newer layout is refused, and left alone', async () => {
  const buffer = await openBuffer({ folder, worker: false, agentId })
  await buffer.close()
  const database = new Database(join(folder, '000001.db'))
  database.pragma('user_version = 99')
  database.close()
  await expect(openBuffer({ folder, worker: false, agentId })).rejects.toMatchObject({ code: 'unsupported-version' })
  expect(existsSync(join(folder, 'quarantine'))).toBe(false)
})

test('a crash in the making of a new file is taken back at the next start', async () => {
  const buffer = await openBuffer({ folder, worker: false, agentId })
  await accept(buffer, message([reading('a', 1, 1)]))
  await buffer.close()
  writeFileSync(join(folder, '000002.db'), '')
  writeFileSync(join(folder, '000001.db.new'), 'half')
  const notices: string[] = []
  const again = await openBuffer({ folder, worker: false, agentId, notify: notice => notices.push(notice) })
  expect(await again.stats()).toMatchObject({ files: 1, backlogReadings: 1, losses: [] })
  expect(notices).toEqual([])
  expect(existsSync(join(folder, '000001.db.new'))).toBe(false)
  await again.close()
})

test('a source that fails when it is called back harms no other', async () => {
  const notices: string[] = []
  const buffer = await openBuffer({ folder, worker: false, agentId, notify: notice => notices.push(notice) })
  buffer.accept(message([reading('a', 1, 1)]), () => {
    throw new Error('a fault of the source')
  })
  await accept(buffer, message([reading('b', 2, 2)]))
  expect(notices.join()).toContain('a fault of the source')
  expect((await buffer.stats()).backlogReadings).toBe(2)
  await buffer.close()
})

test('a message larger than everything that may be held is too large, not to be tried again', async () => {
  const buffer = await openBuffer({ folder, worker: false, agentId, maxHeldBytes: 2000 })
  const large = message(Array.from({ length: 100 }, (_, tsUs) => reading('a', tsUs, tsUs)))
  await expect(accept(buffer, large)).rejects.toMatchObject({ code: 'too-large', retryable: false })
  await buffer.close()
})

test('an agent id that no batch can carry costs no reading', async () => {
  let id = 'x'.repeat(100)
  const buffer = await openBuffer({ folder, worker: false, agentId: () => id })
  await accept(buffer, message([reading('a', 1, 1)]))
  await expect(buffer.seal(10, 'live')).rejects.toMatchObject({ code: 'too-large' })
  id = agentId()
  expect(await buffer.seal(10, 'live')).toMatchObject({ seq: 1, readings: 1 })
  await buffer.close()
})

test('the sabotage of the proofs acknowledges before the commit', async () => {
  const buffer = await openBuffer({ folder, worker: false, agentId, sabotage: 'ack-before-commit' })
  let called = false
  buffer.accept(message([reading('a', 1, 1)]), () => {
    called = true
  })
  expect(called).toBe(true)
  await buffer.close()
})
