/**
 * From a YAML file and the environment to a typed configuration, or to every problem in it at once.
 *
 * Guarantees
 * - Pure: text in, value or `ConfigError` out. No file is read here.
 * - Unknown keys, duplicate keys, wrong types and broken bounds are refused with line and column; nothing is guessed.
 * - An environment variable named by the schema overrides the file, and is checked by the same rule.
 * - Bounded: text of at most `maxTextBytes`, at most `maxAliases` alias expansions, nesting as deep as the schema.
 * - No value appears in a message, only its kind: it may be a secret in the wrong place.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  type YAMLMap,
} from 'yaml'
import {
  type ConfigNode,
  type ConfigValue,
  camelCase,
  type Leaf,
  type ListNode,
  type ObjectNode,
  type Shape,
} from './config-schema.ts'
import { messageOf, TributaryError } from './errors.ts'
import { nearest } from './nearest.ts'

export { nearest }

/** Longest configuration file, bytes of UTF-8. */
export const maxTextBytes = 256 * 1024

/** Most alias expansions in one file ("billion laughs"). */
const maxAliases = 100

export interface ConfigProblem {
  /** `mqtt.port`; empty for the file as a whole. */
  readonly path: string
  /** From 1; null when the value came from the environment. */
  readonly line: number | null
  readonly column: number | null
  /** A whole sentence, with the place in it. */
  readonly message: string
}

/** All that is wrong with a configuration. */
export class ConfigError extends TributaryError {
  readonly problems: readonly ConfigProblem[]

  constructor(fileName: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(problem => problem.message)
    const text =
      lines.length === 1
        ? lines[0]!
        : `${fileName} has ${lines.length} problems:\n${lines.map(line => `  ${line}`).join('\n')}`
    super('config', text)
    this.problems = problems
  }
}

export interface ParseOptions {
  /** Where overrides are looked up; none by default. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/**
 * Read `text` by `schema`. An empty text means every default.
 *
 * @param fileName as a person would name it; it appears in messages only
 * @throws ConfigError with every problem found
 */
export function parseConfig<N extends ConfigNode>(
  text: string,
  fileName: string,
  schema: N,
  options: ParseOptions = {},
): ConfigValue<N> {
  const reader = new Reader(text, fileName, options.env ?? {})
  const value = reader.read(schema)
  if (reader.problems.length > 0) throw new ConfigError(fileName, reader.problems)
  return value as ConfigValue<N>
}

/** Stands for a value that has a problem, so that cross-checks are skipped. */
const invalid = Symbol('invalid')

class Reader {
  readonly problems: ConfigProblem[] = []
  readonly #text: string
  readonly #fileName: string
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #lines = new LineCounter()
  #resolve: (node: Node | null | undefined) => Node | null = () => null

  constructor(text: string, fileName: string, env: Readonly<Record<string, string | undefined>>) {
    this.#text = text
    this.#fileName = fileName
    this.#env = env
  }

  read(schema: ConfigNode): unknown {
    const size = Buffer.byteLength(this.#text)
    if (size > maxTextBytes) {
      this.#report('', null, at => `${at} is ${size} bytes long; at most ${maxTextBytes} are read`)
      return invalid
    }
    const contents = this.#parse()
    return this.problems.length > 0 ? invalid : this.#node(schema, contents, '', null)
  }

  #parse(): ParsedNode | null {
    try {
      const doc = parseDocument(this.#text, {
        lineCounter: this.#lines,
        prettyErrors: false,
        uniqueKeys: false,
        stringKeys: true,
      })
      for (const error of [...doc.errors, ...doc.warnings]) {
        this.#reportAt('', error.pos[0], at => `${firstLine(error.message)} at ${at}`)
      }
      if (doc.errors.length > 0) return null
      doc.toJS({ maxAliasCount: maxAliases })
      this.#resolve = node => (isAlias(node) ? (node.resolve(doc) ?? null) : (node ?? null))
      return doc.contents
    } catch (error) {
      // Excessive aliases and nesting beyond the stack are thrown, not collected.
      const why = error instanceof RangeError ? 'nested too deeply' : firstLine(messageOf(error))
      this.#report('', null, at => `${at} cannot be read: ${why}`)
      return null
    }
  }

  #node(schema: ConfigNode, node: Node | null, path: string, place: Node | null): unknown {
    switch (schema.node) {
      case 'leaf':
        return this.#leaf(schema, node, path, place)
      case 'list':
        return this.#list(schema, node, path, place)
      case 'object':
        return this.#object(schema, node, path, place)
    }
  }

  #leaf(schema: Leaf<unknown>, node: Node | null, path: string, place: Node | null): unknown {
    const override = schema.env === null ? undefined : this.#env[schema.env]
    if (schema.env !== null && override !== undefined) {
      const read = schema.read(schema.fromText(override))
      if (read.ok) return read.value
      return this.#reportOverride(path, schema.env, read.problem)
    }
    if (node === null) {
      if (schema.default !== undefined) return schema.default
      return this.#report(path, place, at => `\`${path}\` is missing at ${at}; it is ${schema.type}`)
    }
    if (!isScalar(node))
      return this.#report(path, node, at => `\`${path}\` at ${at} is ${kindOf(node)}, expected ${schema.type}`)
    const read = schema.read(node.value)
    if (read.ok) return read.value
    const close = typeof node.value === 'string' ? nearest(node.value, schema.choices) : null
    return this.#report(
      path,
      node,
      at => `\`${path}\` at ${at} ${read.problem}${close === null ? '' : `; did you mean \`${close}\`?`}`,
    )
  }

  #list(schema: ListNode<unknown>, node: Node | null, path: string, place: Node | null): unknown {
    const override = schema.env === null ? undefined : this.#env[schema.env]
    if (schema.env !== null && override !== undefined) return this.#listFromEnv(schema, schema.env, override, path)
    if (node === null || isEmpty(node)) return []
    if (!isSeq(node)) return this.#report(path, node, at => `\`${path}\` at ${at} is ${kindOf(node)}, expected a list`)
    if (node.items.length > schema.maxItems) {
      return this.#report(
        path,
        node,
        at => `\`${path}\` at ${at} has ${node.items.length} items; at most ${schema.maxItems} are read`,
      )
    }
    const nodes = node.items.map(item => this.#resolve(item as Node))
    const items = nodes.map((item, index) => this.#node(schema.item, item, `${path}[${index}]`, node ?? place))
    if (items.includes(invalid)) return invalid
    return this.#check(schema.check, items, (index: number, message) => {
      this.#report(`${path}[${index}]`, nodes[index] ?? node, at => `\`${path}[${index}]\` at ${at} ${message}`)
    })
  }

  #listFromEnv(schema: ListNode<unknown>, name: string, text: string, path: string): unknown {
    const { item } = schema
    if (item.node !== 'leaf')
      throw new TributaryError(
        'internal',
        `${name} cannot give \`${path}\`: only lists of leaves come from the environment`,
      )
    const parts = text === '' ? [] : text.split(',').map(part => item.read(item.fromText(part.trim())))
    const wrong = parts.find(part => !part.ok)
    if (wrong !== undefined && !wrong.ok) return this.#reportOverride(path, name, wrong.problem)
    if (parts.length > schema.maxItems)
      return this.#reportOverride(path, name, `has ${parts.length} items; at most ${schema.maxItems} are read`)
    const items = parts.map(part => (part.ok ? part.value : invalid))
    return this.#check(schema.check, items, (index: number, message) =>
      this.#reportOverride(`${path}[${index}]`, name, message),
    )
  }

  #object(schema: ObjectNode<Shape, unknown>, given: Node | null, path: string, place: Node | null): unknown {
    const node = given !== null && isEmpty(given) ? null : given
    if (node !== null && !isMap(node)) {
      const subject = path === '' ? 'the file' : `\`${path}\``
      return this.#report(path, node, at => `${subject} at ${at} is ${kindOf(node)}, expected keys and values`)
    }
    if (node === null && schema.optional && !this.#overridden(schema.shape)) return null
    const keys = this.#keys(schema.shape, node, path)
    const value: Record<string, unknown> = {}
    let valid = keys.valid
    for (const [key, child] of Object.entries(schema.shape)) {
      // A known key that an unknown one was most likely meant to be is not missing as well.
      if (keys.meant.has(key)) continue
      const entry = keys.found.get(key)
      const result = this.#node(child, entry?.value ?? null, below(path, key), entry?.key ?? node ?? place)
      if (result === invalid) valid = false
      value[camelCase(key)] = result
    }
    if (!valid) return invalid
    return this.#check(schema.check, value, (key: string, message) => {
      const entry = keys.found.get(key)
      this.#report(below(path, key), entry?.key ?? node ?? place, at => `\`${below(path, key)}\` at ${at} ${message}`)
    })
  }

  #keys(shape: Shape, node: YAMLMap | null, path: string): Keys {
    const found = new Map<string, Entry>()
    const meant = new Set<string>()
    let valid = true
    for (const pair of node?.items ?? []) {
      const keyNode = this.#resolve(pair.key as Node | null)
      const key = isScalar(keyNode) ? String(keyNode.value) : ''
      const first = found.get(key)
      if (first !== undefined) {
        valid = false
        this.#report(
          below(path, key),
          keyNode,
          at => `\`${below(path, key)}\` is given twice, at ${this.#at(first.key)} and at ${at}`,
        )
      } else if (Object.hasOwn(shape, key)) {
        found.set(key, { key: keyNode, value: this.#resolve(pair.value as Node | null) })
      } else {
        valid = false
        const close = nearest(key, Object.keys(shape))
        if (close !== null) meant.add(close)
        const advice =
          close === null ? `; known here: ${Object.keys(shape).join(', ')}` : `; did you mean \`${close}\`?`
        this.#report(below(path, key), keyNode, at => `unknown key \`${below(path, key)}\` at ${at}${advice}`)
      }
    }
    for (const key of found.keys()) meant.delete(key)
    return { found, meant, valid }
  }

  #overridden(shape: Shape): boolean {
    return Object.values(shape).some(child =>
      child.node === 'object'
        ? this.#overridden(child.shape)
        : child.env !== null && this.#env[child.env] !== undefined,
    )
  }

  /** Run a cross-check; `invalid` when it reported anything. */
  #check<V, K>(
    check: ((value: V, problem: (key: K, message: string) => void) => void) | null,
    value: V,
    report: (key: K, message: string) => void,
  ): unknown {
    const before = this.problems.length
    check?.(value, report)
    return this.problems.length > before ? invalid : value
  }

  #report(path: string, node: Node | null, message: (at: string) => string): typeof invalid {
    return this.#reportAt(path, node?.range?.[0] ?? null, message)
  }

  #reportAt(path: string, offset: number | null, message: (at: string) => string): typeof invalid {
    const place = offset === null ? null : this.#place(offset)
    const at = place === null ? this.#fileName : `${this.#fileName}:${place.line}:${place.column}`
    this.problems.push({ path, line: place?.line ?? null, column: place?.column ?? null, message: message(at) })
    return invalid
  }

  #reportOverride(path: string, variable: string, problem: string): typeof invalid {
    this.problems.push({
      path,
      line: null,
      column: null,
      message: `\`${path}\` from the environment variable ${variable} ${problem}`,
    })
    return invalid
  }

  #at(node: Node | null): string {
    const offset = node?.range?.[0]
    const place = offset === undefined ? null : this.#place(offset)
    return place === null ? this.#fileName : `${this.#fileName}:${place.line}:${place.column}`
  }

  #place(offset: number): { readonly line: number; readonly column: number } {
    const { line, col } = this.#lines.linePos(offset)
    return line === 0 ? { line: 1, column: offset + 1 } : { line, column: col }
  }
}

interface Entry {
  readonly key: Node | null
  readonly value: Node | null
}

interface Keys {
  readonly found: ReadonlyMap<string, Entry>
  /** Known keys that unknown ones were most likely meant to be. */
  readonly meant: ReadonlySet<string>
  readonly valid: boolean
}

function below(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

/** `key:` with nothing after it. */
function isEmpty(node: Node): boolean {
  return isScalar(node) && node.value === null
}

function kindOf(node: Node): string {
  if (isMap(node)) return 'a group of keys'
  if (isSeq(node)) return 'a list'
  const value = isScalar(node) ? node.value : null
  return value === null ? 'empty' : typeof value === 'string' ? 'text' : `a ${typeof value}`
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!.replace(/:$/, '')
}
