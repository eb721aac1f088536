import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collect } from '../signals/test-collect.ts'
import type { Message } from '../transports/transport.ts'
import { acknowledgedReadings, readRecord } from './read-record.ts'
import { createFileRecorder } from './record.ts'
import { createTruthFile } from './truth.ts'
import { valueBits, valueFromBits } from './value-bits.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'record-'))
})
afterEach(() => rm(folder, { recursive: true }))

const message = (id: number, ...values: (number | boolean)[]): Message => ({
  id,
  device: 'm1',
  topic: 't',
  payload: Buffer.from(''),
  readings: values.map((value, i) => ({ device: 'm1', metric: `x${i}`, tsUs: 1_700_000_000_000_000 + id, value })),
})

describe('value bits', () => {
  it('are those of a big-endian binary64', () => {
    expect([1, -0, 0, true, false, 7.5].map(valueBits)).toEqual([
      '3ff0000000000000',
      '8000000000000000',
      '0000000000000000',
      '3ff0000000000000',
      '0000000000000000',
      '401e000000000000',
    ])
  })

  it('give the value back', () => {
    fc.assert(fc.property(fc.double(), value => Object.is(valueFromBits(valueBits(value)), value)))
  })
})

describe('a record', () => {
  it('has the sent readings in the file at once, and the acknowledged ones after the turn', async () => {
    const path = join(folder, 'r.jsonl')
    const recorder = createFileRecorder(path, 1)
    recorder.sent([message(1, 7.5, true)])
    expect((await readFile(path, 'utf8')).split('\n')).toEqual([
      '{"event":"sent","message":1,"qos":1,"series":"m1/x0","ts":1700000000000001,"bits":"401e000000000000"}',
      '{"event":"sent","message":1,"qos":1,"series":"m1/x1","ts":1700000000000001,"bits":"3ff0000000000000"}',
      '',
    ])
    recorder.acked(message(1, 7.5, true))
    await new Promise(setImmediate)
    expect((await collect(readRecord(path))).map(l => l.event)).toEqual(['sent', 'sent', 'acked', 'acked'])
    recorder.close()
  })

  it('gives the acknowledged readings as a multiset', async () => {
    const path = join(folder, 'r.jsonl')
    const recorder = createFileRecorder(path, null)
    const twice = message(1, -0)
    recorder.sent([twice, message(2, 5), message(3)])
    recorder.acked(twice)
    recorder.acked(message(3))
    recorder.acked(twice)
    recorder.close()
    expect(await acknowledgedReadings(path)).toEqual(new Map([['m1/x0 1700000000000001 8000000000000000', 2]]))
  })

  it('a malformed payload has no series', async () => {
    const path = join(folder, 'r.jsonl')
    const recorder = createFileRecorder(path, 2)
    recorder.sent([message(9)])
    recorder.close()
    expect(await collect(readRecord(path))).toEqual([{ event: 'sent', message: 9, qos: 2, series: null }])
  })

  it('is readable up to a torn last line', async () => {
    const path = join(folder, 'r.jsonl')
    const recorder = createFileRecorder(path, 1)
    recorder.sent([message(1, 1)])
    recorder.close()
    await appendFile(path, '{"event":"sen')
    expect(await collect(readRecord(path))).toHaveLength(1)
  })

  it('never mixes two runs in one file', () => {
    const path = join(folder, 'r.jsonl')
    createFileRecorder(path, 1).close()
    expect(() => createFileRecorder(path, 1)).toThrow(/exists already/)
    expect(() => createFileRecorder(join(folder, 'no', 'r.jsonl'), 1)).toThrow(/cannot write/)
  })
})

describe('a truth file', () => {
  it('holds a line for each episode', async () => {
    const path = join(folder, 't.jsonl')
    const truth = createTruthFile(path)
    truth.add({ fault: 'stuck', device: 'm1', metric: 'power', fromUs: 1, toUs: 2 })
    truth.close()
    expect(await readFile(path, 'utf8')).toBe('{"fault":"stuck","device":"m1","metric":"power","from":1,"to":2}\n')
  })
})
