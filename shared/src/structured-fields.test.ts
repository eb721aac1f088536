import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isTributaryError } from './errors.ts'
import {
  type BareItem,
  fieldLimits,
  isInnerList,
  parseDictionary,
  serializeBareItem,
  serializeInnerList,
  serializeMember,
} from './structured-fields.ts'

describe('dictionaries of RFC 8941', () => {
  test('the example of §3.2 with inner lists and parameters keeps every member', () => {
    const dictionary = parseDictionary('a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid')
    expect([...dictionary].map(([key, member]) => `${key}=${serializeMember(member)}`)).toEqual([
      'a=(1 2)',
      'b=3',
      'c=4;aa=bb',
      'd=(5 6);valid',
    ])
  })

  test('a member without a value is true, with its parameters', () => {
    const member = parseDictionary('a;x=?0').get('a')
    expect(member).toMatchObject({ value: true })
    expect(member?.parameters.get('x')).toBe(false)
  })

  test('escapes in strings are undone and written again', () => {
    const member = parseDictionary(String.raw`a="q\"b\\s"`).get('a')
    expect(member).toMatchObject({ value: String.raw`q"b\s` })
    expect(serializeMember(member!)).toBe(String.raw`"q\"b\\s"`)
  })

  test('a byte sequence is decoded', () => {
    expect(parseDictionary('a=:aGVsbG8=:').get('a')).toMatchObject({ value: Buffer.from('hello') })
  })

  test('white space around commas and at the start is optional, tabs included', () => {
    expect(parseDictionary('  a=1 \t,\t b=2  ').size).toBe(2)
    expect(parseDictionary('').size).toBe(0)
  })

  test.each([
    ['a trailing comma', 'a=1,'],
    ['no comma', 'a=1 b=2'],
    ['a repeated key', 'a=1, a=2'],
    ['a repeated parameter', 'a=1;x;x'],
    ['an upper-case key', 'A=1'],
    ['a decimal', 'a=1.5'],
    ['an integer of 16 digits', 'a=1234567890123456'],
    ['an unclosed string', 'a="x'],
    ['a bad escape', String.raw`a="\x"`],
    ['a control character in a string', 'a="\x07"'],
    ['a newline in a string', 'a="x\ny"'],
    ['an unclosed inner list', 'a=(1 2'],
    ['items of an inner list without a space', 'a=("x""y")'],
    ['a nested inner list', 'a=((1))'],
    ['unpadded base64', 'a=:aGVsbG8:'],
    ['base64 with bits left over', 'a=:aGVsbG9=:'],
    ['an empty value', 'a='],
    ['text after a member', 'a=1x'],
  ])('%s is malformed', (_what, text) => {
    expect(() => parseDictionary(text)).toThrow(expect.objectContaining({ code: 'malformed' }))
  })

  test('bounds hold at their edge', () => {
    const members = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`).join(',')
    expect(parseDictionary(members(fieldLimits.members)).size).toBe(fieldLimits.members)
    expect(() => parseDictionary(members(fieldLimits.members + 1))).toThrow('more than 32 members')
    const items = (count: number) => `a=(${'1 '.repeat(count)})`
    expect(parseDictionary(items(fieldLimits.members)).size).toBe(1)
    expect(() => parseDictionary(items(fieldLimits.members + 1))).toThrow('more than 32 items')
    const long = (chars: number) => `a="${'x'.repeat(chars - 4)}"`
    expect(parseDictionary(long(fieldLimits.chars)).size).toBe(1)
    expect(() => parseDictionary(long(fieldLimits.chars + 1))).toThrow('longer than 8192 characters')
  })
})

const text = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map(code => String.fromCharCode(code)),
  maxLength: 20,
})
const bare: fc.Arbitrary<BareItem> = fc.oneof(
  text,
  fc.integer({ min: -999_999_999_999_999, max: 999_999_999_999_999 }),
  fc.boolean(),
  fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
  fc.constantFrom('tok', '*a/b:c').map(token => ({ token })),
)
const parameters = fc
  .dictionary(fc.stringMatching(/^[a-z*][a-z0-9_.*-]{0,8}$/), bare, { maxKeys: 4 })
  .map(o => new Map(Object.entries(o)))
const item = fc.record({ value: bare, parameters })

test('whatever is written is read back the same', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 6 }), parameters, (items, own) => {
      const list = { items, parameters: own }
      const member = parseDictionary(`x=${serializeInnerList(list)}`).get('x')
      expect(member && isInnerList(member) && serializeInnerList(member)).toBe(serializeInnerList(list))
      expect(member).toEqual(list)
    }),
    { numRuns: 200 },
  )
})

test('any text is parsed or malformed, nothing else', () => {
  const noise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(...'a=;,:?()"\\1- \t'), maxLength: 40 }),
  )
  fc.assert(
    fc.property(noise, line => {
      try {
        parseDictionary(line)
      } catch (error) {
        expect(isTributaryError(error, 'malformed')).toBe(true)
      }
    }),
    { numRuns: 1000 },
  )
})

test('a value that a field cannot carry is refused when it is written', () => {
  for (const value of ['é', 'a\nb', 1.5, Number.NaN, 1e15]) {
    expect(() => serializeBareItem(value)).toThrow(expect.objectContaining({ code: 'malformed' }))
  }
})
