/**
 * The signature base of RFC 9421 §2.5: the text that a signature over an HTTP message signs.
 *
 * One line a component, `"name";parameters: value`, ended by the `@signature-params` line without a newline. Supported: header
 * fields with `key`, and of the derived components `@method @path @query @authority @request-target @status`; `req` on any of
 * the request's (in a response's signature). Everything else throws `malformed`: a signature is never made or checked over less
 * than it says. A value outside printable ASCII throws too, so no value can forge a line.
 */
import { TributaryError } from './errors.ts'
import {
  type InnerList,
  type Item,
  parseDictionary,
  serializeItem,
  serializeMember,
  serializeParameters,
} from './structured-fields.ts'

/** Header fields by lower-case name; several lines of one field as an array. */
export type FieldMap = Readonly<Record<string, string | readonly string[] | undefined>>

export interface RequestMessage {
  readonly method: string
  /** Path, with `?query` where there is one, as on the request line. */
  readonly target: string
  /** `https` unless said; decides which default port `@authority` leaves out. */
  readonly scheme?: 'http' | 'https'
  readonly headers: FieldMap
}

export interface ResponseMessage {
  readonly status: number
  readonly headers: FieldMap
  /** The request it answers, for components with `req`. */
  readonly request?: RequestMessage
}

/** The signature base for the covered components and parameters of `list`. */
export function signatureBase(list: InnerList, message: RequestMessage | ResponseMessage): string {
  const identifiers: string[] = []
  let base = ''
  for (const item of list.items) {
    const identifier = serializeItem(item)
    if (identifiers.includes(identifier)) throw unusable(identifier, 'is covered twice')
    identifiers.push(identifier)
    base += `${identifier}: ${componentValue(item, identifier, message)}\n`
  }
  return `${base}"@signature-params": (${identifiers.join(' ')})${serializeParameters(list.parameters)}`
}

function componentValue(item: Item, identifier: string, message: RequestMessage | ResponseMessage): string {
  if (typeof item.value !== 'string') throw unusable(identifier, 'is not a string')
  let key: string | null = null
  let source = message
  for (const [name, parameter] of item.parameters) {
    if (name === 'req' && parameter === true) source = requestOf(message, identifier)
    else if (name === 'key' && typeof parameter === 'string') key = parameter
    else throw unusable(identifier, `has the parameter ${name}, which is not supported`)
  }
  const derived = item.value.startsWith('@')
  if (derived && key !== null) throw unusable(identifier, 'takes no key')
  const value = derived
    ? derivedValue(item.value, identifier, source)
    : fieldValue(item.value, key, identifier, source.headers)
  if (!/^[\x20-\x7e]*$/.test(value)) throw unusable(identifier, 'has a value outside printable ASCII')
  return value
}

function requestOf(message: RequestMessage | ResponseMessage, identifier: string): RequestMessage {
  if ('status' in message && message.request) return message.request
  throw unusable(identifier, 'needs the request that is answered')
}

/** RFC 9421 §2.2. */
function derivedValue(name: string, identifier: string, message: RequestMessage | ResponseMessage): string {
  if ('status' in message) {
    if (name === '@status') return String(message.status)
    throw unusable(identifier, 'is not part of a response')
  }
  const question = message.target.indexOf('?')
  switch (name) {
    case '@method':
      return message.method
    case '@path':
      return (question < 0 ? message.target : message.target.slice(0, question)) || '/'
    case '@query':
      return question < 0 ? '?' : message.target.slice(question)
    case '@request-target':
      return message.target
    case '@authority':
      return authority(fieldValue('host', null, identifier, message.headers), message.scheme ?? 'https')
    default:
      throw unusable(identifier, 'is not supported')
  }
}

/** RFC 9421 §2.2.3: lower case, without the scheme's default port. */
function authority(host: string, scheme: 'http' | 'https'): string {
  return host.toLowerCase().replace(scheme === 'https' ? /:443$/ : /:80$/, '')
}

/** RFC 9421 §2.1, and §2.1.2 when `key` names a member of a dictionary. */
function fieldValue(name: string, key: string | null, identifier: string, headers: FieldMap): string {
  const lines = Object.hasOwn(headers, name) ? headers[name] : undefined
  if (lines === undefined) throw unusable(identifier, 'is not in the message')
  const value = typeof lines === 'string' ? trimmed(lines) : lines.map(trimmed).join(', ')
  if (key === null) return value
  const member = parseDictionary(value).get(key)
  if (!member) throw unusable(identifier, 'is not in the message')
  return serializeMember(member)
}

/** Without the white space around it, and with obsolete line folding undone; linear in the text, whatever it is. */
function trimmed(line: string): string {
  if (line.includes('\n')) return line.split(/\r?\n/).map(trimmed).join(' ')
  let from = 0
  let to = line.length
  while (from < to && isBlank(line.charCodeAt(from))) from++
  while (to > from && isBlank(line.charCodeAt(to - 1))) to--
  return line.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function unusable(identifier: string, why: string): TributaryError {
  return new TributaryError('malformed', `signed component ${identifier.slice(0, 80)} ${why}`)
}
