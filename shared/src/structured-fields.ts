/**
 * Structured Field Values (RFC 8941, kept by RFC 9651): the dictionaries that carry signatures and digests.
 *
 * A strict, bounded subset: strings, tokens, integers, booleans, byte sequences and inner lists. Stricter than the RFC where
 * leniency could let two parsers disagree about one signed message: a repeated key is refused (the RFC lets the last one win),
 * base64 must be canonical, decimals do not occur. Anything else is `malformed`, never a crash, in time linear in the text.
 */
import { TributaryError } from './errors.ts'

export type BareItem = string | number | boolean | Uint8Array | Token

/** An unquoted word, RFC 8941 §3.3.4. */
export interface Token {
  readonly token: string
}

/** Parameters in their order; the order is part of what is signed. */
export type Parameters = ReadonlyMap<string, BareItem>

export interface Item {
  readonly value: BareItem
  readonly parameters: Parameters
}

export interface InnerList {
  readonly items: readonly Item[]
  readonly parameters: Parameters
}

export type Dictionary = ReadonlyMap<string, Item | InnerList>

/** Bounds of one field. */
export const fieldLimits = {
  /** Characters of the whole field value. */
  chars: 8192,
  /** Members of a dictionary, items of an inner list, parameters of one item. */
  members: 32,
} as const

export function isInnerList(member: Item | InnerList): member is InnerList {
  return 'items' in member
}

/** The position of the parser in its text. */
interface Cursor {
  readonly text: string
  at: number
}

const keyPattern = /[a-z*][a-z0-9_\-.*]*/y
const integerPattern = /-?[0-9]{1,15}(?![0-9.])/y
const stringPattern = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y
const tokenPattern = /[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y
const bytesPattern = /:([A-Za-z0-9+/]*={0,2}):/y
const booleanPattern = /\?([01])/y
const optionalWhitespace = /[ \t]*/y
const spaces = / */y

/** A dictionary, RFC 8941 §4.2.2. Throws `malformed`. */
export function parseDictionary(text: string): Dictionary {
  if (text.length > fieldLimits.chars) throw malformed(`longer than ${fieldLimits.chars} characters`, 0)
  const cursor: Cursor = { text, at: 0 }
  const dictionary = new Map<string, Item | InnerList>()
  take(cursor, spaces)
  while (cursor.at < text.length) {
    const start = cursor.at
    const key = parseKey(cursor)
    if (dictionary.has(key)) throw malformed(`key ${key} occurs twice`, start)
    if (dictionary.size >= fieldLimits.members) throw malformed(`more than ${fieldLimits.members} members`, start)
    dictionary.set(key, parseMember(cursor))
    take(cursor, optionalWhitespace)
    if (cursor.at >= text.length) return dictionary
    if (text[cursor.at] !== ',') throw malformed('expected a comma', cursor.at)
    cursor.at++
    take(cursor, optionalWhitespace)
    if (cursor.at >= text.length) throw malformed('trailing comma', cursor.at)
  }
  return dictionary
}

function parseMember(cursor: Cursor): Item | InnerList {
  if (cursor.text[cursor.at] !== '=') return { value: true, parameters: parseParameters(cursor) }
  cursor.at++
  return cursor.text[cursor.at] === '(' ? parseInnerList(cursor) : parseItem(cursor)
}

function parseInnerList(cursor: Cursor): InnerList {
  cursor.at++
  const items: Item[] = []
  for (;;) {
    take(cursor, spaces)
    if (cursor.text[cursor.at] === ')') break
    if (items.length >= fieldLimits.members) throw malformed(`more than ${fieldLimits.members} items`, cursor.at)
    items.push(parseItem(cursor))
    const next = cursor.text[cursor.at]
    if (next !== ' ' && next !== ')') throw malformed('inner list is not closed', cursor.at)
  }
  cursor.at++
  return { items, parameters: parseParameters(cursor) }
}

function parseItem(cursor: Cursor): Item {
  const value = parseBareItem(cursor)
  return { value, parameters: parseParameters(cursor) }
}

export const noParameters: Parameters = new Map()

function parseParameters(cursor: Cursor): Parameters {
  if (cursor.text[cursor.at] !== ';') return noParameters
  const parameters = new Map<string, BareItem>()
  while (cursor.text[cursor.at] === ';') {
    const start = cursor.at++
    take(cursor, spaces)
    const key = parseKey(cursor)
    if (parameters.has(key)) throw malformed(`parameter ${key} occurs twice`, start)
    if (parameters.size >= fieldLimits.members) throw malformed(`more than ${fieldLimits.members} parameters`, start)
    let value: BareItem = true
    if (cursor.text[cursor.at] === '=') {
      cursor.at++
      value = parseBareItem(cursor)
    }
    parameters.set(key, value)
  }
  return parameters
}

function parseKey(cursor: Cursor): string {
  const key = take(cursor, keyPattern)?.[0]
  if (key === undefined) throw malformed('expected a key', cursor.at)
  return key
}

function parseBareItem(cursor: Cursor): BareItem {
  const start = cursor.at
  const first = cursor.text[start] ?? ''
  if (first === '"') {
    const text = take(cursor, stringPattern)?.[1]
    if (text !== undefined) return text.includes('\\') ? text.replace(/\\(.)/g, '$1') : text
  } else if (first === ':') {
    const base64 = take(cursor, bytesPattern)?.[1]
    if (base64 !== undefined) return decodeBase64(base64, start)
  } else if (first === '?') {
    const digit = take(cursor, booleanPattern)?.[1]
    if (digit !== undefined) return digit === '1'
  } else if (first === '-' || (first >= '0' && first <= '9')) {
    const digits = take(cursor, integerPattern)?.[0]
    if (digits !== undefined) return Number(digits)
  } else {
    const token = take(cursor, tokenPattern)?.[0]
    if (token !== undefined) return { token }
  }
  throw malformed('expected a string, token, integer, boolean or byte sequence', start)
}

function decodeBase64(base64: string, at: number): Uint8Array {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64) throw malformed('base64 is not canonical', at)
  return bytes
}

/** Match a sticky pattern at the cursor and move past it; null when it does not match there. */
function take(cursor: Cursor, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = cursor.at
  const match = pattern.exec(cursor.text)
  if (match) cursor.at += match[0].length
  return match
}

function malformed(what: string, at: number): TributaryError {
  return new TributaryError('malformed', `structured field: ${what} (character ${at})`)
}

/** RFC 8941 §4.1.1.1. The text of an inner list with its parameters: what `@signature-params` signs. */
export function serializeInnerList(list: InnerList): string {
  return `(${list.items.map(serializeItem).join(' ')})${serializeParameters(list.parameters)}`
}

export function serializeItem(item: Item): string {
  return serializeBareItem(item.value) + serializeParameters(item.parameters)
}

export function serializeMember(member: Item | InnerList): string {
  return isInnerList(member) ? serializeInnerList(member) : serializeItem(member)
}

export function serializeParameters(parameters: Parameters): string {
  let text = ''
  if (parameters.size === 0) return text
  for (const [key, value] of parameters) text += value === true ? `;${key}` : `;${key}=${serializeBareItem(value)}`
  return text
}

/** Printable ASCII with nothing to escape. */
const plainString = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** A value that a structured field cannot carry (a string outside printable ASCII, a fraction) throws `malformed`. */
export function serializeBareItem(value: BareItem): string {
  if (typeof value === 'string') {
    if (plainString.test(value)) return `"${value}"`
    if (!/^[\x20-\x7e]*$/.test(value)) {
      throw new TributaryError('malformed', 'structured field: a string is printable ASCII only')
    }
    return `"${value.replace(/["\\]/g, '\\$&')}"`
  }
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || Math.abs(value) > 999_999_999_999_999) {
      throw new TributaryError('malformed', `structured field: ${value} is not an integer of at most 15 digits`)
    }
    return String(value)
  }
  if (typeof value === 'boolean') return value ? '?1' : '?0'
  if (value instanceof Uint8Array)
    return `:${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')}:`
  return value.token
}
