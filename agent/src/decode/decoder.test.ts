import { limits } from '@tributary/shared/reading'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createDecoder } from './decoder.ts'
import { isFailure } from './format.ts'

const nowUs = 1_700_000_000_000_000
const decoder = createDecoder({
  routes: [{ topic: 'plant/+/{device}/{metric}', format: 'json' }],
  maxPayloadBytes: 65536,
})

function topic(name: string, payload: string | Buffer) {
  const result = decoder.topic(name, Buffer.from(payload as string), nowUs)
  return isFailure(result)
    ? result.reason
    : result.readings.map(r => [r.series.device, r.series.metric, r.series.unit, r.tsUs, r.value, r.quality])
}

function line(payload: string, device: string | null = 'port') {
  const result = decoder.line(device, Buffer.from(payload), nowUs)
  return isFailure(result)
    ? result.reason
    : result.readings.map(r => [r.series.device, r.series.metric, r.series.unit, r.tsUs, r.value, r.quality])
}

describe('sensors/{device}/{metric}', () => {
  it('takes scalars', () => {
    expect(topic('sensors/press1/temp', '21.5')).toEqual([['press1', 'temp', '', nowUs, 21.5, 0]])
    expect(topic('sensors/press1/on', 'true')).toEqual([['press1', 'on', '', nowUs, true, 0]])
    expect(topic('sensors/press1/door', '"open"')).toEqual([['press1', 'door', '', nowUs, 'open', 0]])
    expect(Object.is((topic('sensors/a/b', '-0') as unknown[][])[0]![4], -0)).toBe(true)
  })

  it('takes an object with time, unit and quality, and ignores other keys', () => {
    const payload = '{"value":3,"ts":"2026-01-02T03:04:05.123456Z","unit":"Cel","quality":"uncertain","rssi":-70}'
    expect(topic('sensors/p/t', payload)).toEqual([
      ['p', 't', 'Cel', Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 123_456, 3, 1],
    ])
  })

  it('refuses what is no value', () => {
    expect(topic('sensors/p/t', 'null')).toBe('null as value')
    expect(topic('sensors/p/t', '[1]')).toBe('a list as value')
    expect(topic('sensors/p/t', '{"v":1}')).toBe('an object without `value`')
    expect(topic('sensors/p/t', '{"value":{"x":1}}')).toBe('an object as value')
    expect(topic('sensors/p/t', '1e999')).toBe('number out of range')
    expect(topic('sensors/p/t', '{"value":1,"ts":"yesterday"}')).toMatch(/`ts`/)
    expect(topic('sensors/p/t', '{"value":1,"quality":"fine"}')).toMatch(/`quality`/)
    expect(topic('sensors/p/t', '{"value":1,"unit":5}')).toBe('a number as unit')
    expect(topic('sensors/p/t', '"\\ud800"')).toBe('text is not well-formed Unicode')
  })

  it('malformed JSON and bytes that are no UTF-8 are told apart', () => {
    for (const payload of ['', '{', '01', '1,', 'NaN', '{"value":1}x', "{'value':1}"])
      expect(topic('sensors/p/t', payload)).toBe('malformed JSON')
    expect(topic('sensors/p/t', Buffer.from([0x22, 0xff, 0x22]))).toBe('not UTF-8')
  })
})

describe('sensors/{device}', () => {
  it('takes every key but ts, seq and quality as a metric', () => {
    expect(topic('sensors/p', '{"a":1,"b":{"value":"x","unit":"m"},"ts":1700000000.5,"seq":7,"quality":2}')).toEqual([
      ['p', 'a', '', 1_700_000_000_500_000, 1, 2],
      ['p', 'b', 'm', 1_700_000_000_500_000, 'x', 2],
    ])
    expect(topic('sensors/p', '{"__proto__":1,"constructor":2}')).toHaveLength(2)
  })

  it('keeps all of a payload or nothing of it', () => {
    expect(topic('sensors/p', '{"a":1,"b":null}')).toBe('null as value in metric "b"')
    expect(topic('sensors/p', '{"a":1,"":2}')).toBe('empty metric name in metric ""')
    expect(topic('sensors/p', '{"ts":1}')).toBe('no metric')
    expect(topic('sensors/p', '5')).toBe('a number where an object of metrics is expected')
    const many = (n: number) => JSON.stringify(Object.fromEntries(Array.from({ length: n }, (_, i) => [`m${i}`, i])))
    expect(topic('sensors/p', many(1000))).toHaveLength(1000)
    expect(topic('sensors/p', many(1001))).toBe('more than 1000 metrics')
  })
})

describe('lines', () => {
  it('take the device of the line, else of the port', () => {
    expect(line('{"a":1}')).toEqual([['port', 'a', '', nowUs, 1, 0]])
    expect(line('{"device":"d","a":1}')).toEqual([['d', 'a', '', nowUs, 1, 0]])
    expect(line('{"device":"d","metric":"m","value":2,"unit":"V"}')).toEqual([['d', 'm', 'V', nowUs, 2, 0]])
    expect(line('{"value":2}')).toEqual([['port', 'value', '', nowUs, 2, 0]])
    expect(line('{"a":1}', null)).toBe('no device name')
    expect(line('{"device":5,"a":1}')).toBe('no device name')
  })
})

describe('bounds', () => {
  it('a payload of the longest length decodes, one byte more does not', () => {
    const padded = (n: number) => `1${' '.repeat(n - 1)}`
    expect(topic('sensors/p/t', padded(65536))).toHaveLength(1)
    expect(topic('sensors/p/t', padded(65537))).toBe('payload of 65537 bytes; at most 65536 are decoded')
  })

  it('names, units and texts hold their limits at the edge', () => {
    const name = 'é'.repeat(limits.nameBytes / 2)
    expect(topic(`sensors/${name}/${name}`, '1')).toHaveLength(1)
    expect(topic(`sensors/${name}x/t`, '1')).toBe('device name longer than 256 bytes')
    expect(topic(`sensors/p/${name}x`, '1')).toBe('metric name longer than 256 bytes')
    expect(topic('sensors/p/t', JSON.stringify({ value: 1, unit: 'u'.repeat(limits.unitBytes) }))).toHaveLength(1)
    expect(topic('sensors/p/t', JSON.stringify({ value: 1, unit: 'u'.repeat(limits.unitBytes + 1) }))).toBe(
      'unit longer than 32 bytes',
    )
    expect(topic('sensors/p/t', JSON.stringify('x'.repeat(limits.stringBytes)))).toHaveLength(1)
    expect(topic('sensors/p/t', JSON.stringify('x'.repeat(limits.stringBytes + 1)))).toBe('text longer than 4096 bytes')
    expect(topic('sensors//t', '1')).toBe('empty device name')
    expect(topic('sensors/a\u0007b/t', '1')).toBe('control character in device name')
  })

  it('a tower of brackets is a refusal, not a crash', () => {
    expect(topic('sensors/p/t', '['.repeat(65536))).toBe('malformed JSON')
    expect(topic('sensors/p/t', `${'['.repeat(32768)}${']'.repeat(32768)}`)).toBe('a list as value')
  })
})

describe('routes', () => {
  it('an unmapped topic is a failure that says so', () => {
    for (const name of ['other/p/t', 'sensors', 'sensors/p/t/x', 'SENSORS/p/t', ''])
      expect(topic(name, '1')).toBe('unmapped topic')
  })

  it('configured routes come first', () => {
    expect(topic('plant/hall 3/p/t', '1')).toEqual([['p', 't', '', nowUs, 1, 0]])
  })

  it('a pattern or format that cannot be used is refused', () => {
    const make = (pattern: string, format = 'json') =>
      createDecoder({ routes: [{ topic: pattern, format }], maxPayloadBytes: 10 })
    for (const pattern of ['a/{metric}', 'a/#/{device}', 'a/x{device}', '{device}/{device}'])
      expect(() => make(pattern)).toThrow(/cannot be used/)
    expect(() => make('{device}', 'jsn')).toThrow(/did you mean `json`/)
  })
})

describe('properties', () => {
  it('any bytes on any topic give readings or a reason, never an exception', () => {
    const levels = fc.array(fc.constantFrom('sensors', 'p', 't', '', '+', '\u0000'), { maxLength: 4 })
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map(Buffer.from),
      fc.json().map(text => Buffer.from(text)),
    )
    fc.assert(
      fc.property(levels, payload, (parts, bytes) => {
        for (const result of [decoder.topic(parts.join('/'), bytes, nowUs), decoder.line('d', bytes, nowUs)]) {
          if (isFailure(result)) expect(result.reason).not.toBe('')
          else for (const reading of result.readings) expect(Number.isSafeInteger(reading.tsUs)).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('every finite double comes back bit for bit', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
        const text = Object.is(value, -0) ? '-0' : JSON.stringify(value)
        expect(topic('sensors/p/t', text)).toEqual([['p', 't', '', nowUs, value, 0]])
      }),
      { numRuns: 300 },
    )
  })

  it('a payload is identified exactly when it carries a time or a counter', () => {
    const identified = (payload: string) => {
      const result = decoder.topic('sensors/p', Buffer.from(payload), nowUs)
      return isFailure(result) ? null : result.identified
    }
    expect(['{"a":1}', '{"a":1,"ts":null}', '{"a":1,"seq":0}', '{"a":1,"ts":5}'].map(identified)).toEqual([
      false,
      false,
      true,
      true,
    ])
  })
})
