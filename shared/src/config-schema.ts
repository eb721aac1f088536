/**
 * The words in which a program declares its configuration: what a file may say, and what the program gets.
 *
 * A schema is a tree: `object` of keys, `list` of items, and leaves (`string`, `integer`, `number`, `boolean`, `oneOf`, `bytes`,
 * `duration`). Keys are snake_case in the file and camelCase in the value: `max_bytes: 16MiB` becomes `{ maxBytes: 16777216 }`.
 * A leaf without a default must be given; a default of `null` makes it optional. One schema serves three readers: `parseConfig`
 * (config.ts), the example file and the reference table (config-render.ts).
 *
 * Units: `bytes` yields bytes (KB, MB, GB are powers of 1000; KiB, MiB, GiB of 1024), `duration` yields milliseconds.
 */

/** What a leaf made of a raw YAML scalar: its value, or what is wrong with it (a phrase after "`key`": "is …, expected …"). */
export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string }

/** Carries the value's type; never there at run time. */
interface Carries<T> {
  readonly carries?: { readonly value: T }
}

export interface Leaf<T> extends Carries<T> {
  readonly node: 'leaf'
  /** Type, unit and bounds in words. */
  readonly type: string
  readonly help: string
  /** `undefined`: must be given. */
  readonly default: T | undefined
  /** The environment variable that overrides the file. */
  readonly env: string | null
  /** Shown in the example file where there is no default. */
  readonly example: T | undefined
  /** Its value is never shown. */
  readonly secret: boolean
  /** The words it may be, for the nearest to a mistyped one; empty unless `oneOf`. */
  readonly choices: readonly string[]
  /** From a YAML scalar: string, number, boolean or null. */
  read(raw: unknown): Read<T>
  /** From an environment variable's text to what `read` takes. */
  fromText(text: string): unknown
  /** As YAML. */
  format(value: T): string
}

export interface ListNode<T> extends Carries<readonly T[]> {
  readonly node: 'list'
  readonly help: string
  readonly item: ConfigNode
  readonly maxItems: number
  /** Comma-separated, for lists of leaves only. */
  readonly env: string | null
  /** Cross-checks items that are valid one by one. */
  readonly check: ((items: readonly T[], problem: (index: number, message: string) => void) => void) | null
}

/** `Absent` is null for an optional group, else never. */
export interface ObjectNode<S extends Shape, Absent> extends Carries<ShapeValue<S> | Absent> {
  readonly node: 'object'
  readonly help: string
  readonly shape: S
  /** Absent in the file: null, instead of every key's default. */
  readonly optional: boolean
  /** Cross-checks keys that are valid one by one; `key` is as written in the file. */
  readonly check: ((value: ShapeValue<S>, problem: (key: string, message: string) => void) => void) | null
}

export type Shape = { readonly [key: string]: ConfigNode }
// biome-ignore lint/suspicious/noExplicitAny: a node of any value type; `unknown` is refused where a node takes its own value.
export type ConfigNode = Leaf<any> | ListNode<any> | ObjectNode<any, any>

type Camel<K> = K extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : K
type ShapeValue<S extends Shape> = { readonly [K in keyof S as Camel<K & string>]: ConfigValue<S[K]> }

/** The value that `parseConfig` returns for a schema. */
export type ConfigValue<N> = N extends Carries<infer T> ? T : never

/** `max_bytes` → `maxBytes`. */
export function camelCase(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

interface LeafOptions<T, D> {
  readonly help: string
  readonly default?: D
  readonly env?: string
  readonly example?: T
}

/** Text. Length is counted in characters (UTF-16 units). */
export function string<D extends string | null = string>(
  options: LeafOptions<string, D> & {
    readonly minLength?: number
    /** Default 4096. */
    readonly maxLength?: number
    readonly pattern?: RegExp
    /** What the pattern means, in words; shown instead of it. */
    readonly patternText?: string
    readonly secret?: boolean
  },
): Leaf<string | NoInfer<D>> {
  const { minLength = 0, maxLength = 4096, pattern, patternText = `matching ${pattern}` } = options
  const words = pattern === undefined ? 'text' : `text, ${patternText}`
  return leaf<string, D>(options, {
    type: words,
    secret: options.secret ?? false,
    read(raw) {
      if (typeof raw !== 'string')
        return wrong(raw, typeof raw === 'number' || typeof raw === 'boolean' ? 'text; put it in quotes' : 'text')
      if (raw.length < minLength) return bad(minLength === 1 ? 'is empty' : `is shorter than ${minLength} characters`)
      if (raw.length > maxLength) return bad(`is longer than ${maxLength} characters`)
      if (pattern !== undefined && !pattern.test(raw)) return bad(`is not ${patternText}`)
      return { ok: true, value: raw }
    },
    fromText: text => text,
    format: value => JSON.stringify(value),
  })
}

interface NumberOptions<D> extends LeafOptions<number, D> {
  readonly min?: number
  readonly max?: number
  /** What it counts: `readings`, `percent`, … */
  readonly unit?: string
}

/** A whole number, within the safe integers. */
export function integer<D extends number | null = number>(options: NumberOptions<D>): Leaf<number | NoInfer<D>> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options
  return leaf<number, D>(options, {
    type: join(['whole number', options.unit, boundsText(options.min, options.max, String)]),
    read(raw) {
      if (typeof raw !== 'number' || !Number.isSafeInteger(raw)) return wrong(raw, 'a whole number')
      return inBounds(raw, min, max, String)
    },
    fromText: textToNumber,
    format: String,
  })
}

/** A finite number. */
export function number<D extends number | null = number>(options: NumberOptions<D>): Leaf<number | NoInfer<D>> {
  const { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = options
  return leaf<number, D>(options, {
    type: join(['number', options.unit, boundsText(options.min, options.max, String)]),
    read(raw) {
      if (typeof raw !== 'number' || !Number.isFinite(raw)) return wrong(raw, 'a number')
      return inBounds(raw, min, max, String)
    },
    fromText: textToNumber,
    format: String,
  })
}

/** `true` or `false`. */
export function boolean<D extends boolean | null = boolean>(
  options: LeafOptions<boolean, D>,
): Leaf<boolean | NoInfer<D>> {
  return leaf<boolean, D>(options, {
    type: 'true or false',
    read: raw => (typeof raw === 'boolean' ? { ok: true, value: raw } : wrong(raw, 'true or false')),
    fromText: text => (text === 'true' ? true : text === 'false' ? false : text),
    format: String,
  })
}

/** One of a few words. */
export function oneOf<const C extends string, D extends C | null = C>(
  choices: readonly C[],
  options: LeafOptions<C, D>,
): Leaf<C | NoInfer<D>> {
  const list = choices.map(choice => `\`${choice}\``).join(', ')
  return leaf<C, D>(options, {
    type: `one of ${list}`,
    choices,
    read(raw) {
      const value = choices.find(choice => choice === raw)
      return value === undefined ? wrong(raw, `one of ${list}`) : { ok: true, value }
    },
    fromText: text => text,
    format: String,
  })
}

interface MeasureOptions<D> extends LeafOptions<number, D> {
  readonly min?: number
  readonly max?: number
}

const byteUnits = new Map([
  ['B', 1],
  ['KB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
])
const durationUnits = new Map([
  ['ms', 1],
  ['s', 1e3],
  ['m', 60e3],
  ['h', 3600e3],
  ['d', 86_400e3],
])

/** An amount of bytes with its unit: `512KiB`, `16MB`. */
export function bytes<D extends number | null = number>(options: MeasureOptions<D>): Leaf<number | NoInfer<D>> {
  return measure(options, byteUnits, 'size', '`64KiB` or `16MB`', formatBytes)
}

/** A span of time with its unit: `100ms`, `5s`, `10m`, `24h`, `7d`. Yields milliseconds. */
export function duration<D extends number | null = number>(options: MeasureOptions<D>): Leaf<number | NoInfer<D>> {
  return measure(options, durationUnits, 'duration', '`100ms`, `5s` or `10m`', formatDuration)
}

/** 65536 → `64KiB`: the largest unit that divides it. */
export function formatBytes(value: number): string {
  return formatMeasure(value, byteUnits)
}

/** 5000 → `5s`: the largest unit that divides it. */
export function formatDuration(valueMs: number): string {
  return formatMeasure(valueMs, durationUnits)
}

/** Keys and what stands under each. */
export function object<const S extends Shape, const O extends boolean = false>(
  shape: S,
  options: {
    readonly help?: string
    readonly optional?: O
    readonly check?: (value: ShapeValue<S>, problem: (key: string, message: string) => void) => void
  } = {},
): ObjectNode<S, O extends true ? null : never> {
  return {
    node: 'object',
    help: options.help ?? '',
    shape,
    optional: options.optional ?? false,
    check: options.check ?? null,
  }
}

/** Items of one kind, in order; none by default. */
export function list<N extends ConfigNode>(
  item: N,
  options: {
    readonly help: string
    /** Default 1000. */
    readonly maxItems?: number
    readonly env?: string
    readonly check?: (items: readonly ConfigValue<N>[], problem: (index: number, message: string) => void) => void
  },
): ListNode<ConfigValue<N>> {
  return {
    node: 'list',
    help: options.help,
    item,
    maxItems: options.maxItems ?? 1000,
    env: options.env ?? null,
    check: options.check ?? null,
  }
}

type Behaviour<T> = Pick<Leaf<T>, 'type' | 'read' | 'fromText' | 'format'> & {
  readonly secret?: boolean
  readonly choices?: readonly string[]
}

function leaf<T, D>(options: LeafOptions<T, D>, behaviour: Behaviour<T>): Leaf<T | NoInfer<D>> {
  return {
    node: 'leaf',
    help: options.help,
    default: options.default,
    env: options.env ?? null,
    example: options.example,
    secret: behaviour.secret ?? false,
    choices: behaviour.choices ?? [],
    type: behaviour.type,
    read: raw =>
      raw === null && options.default === null ? { ok: true, value: options.default } : behaviour.read(raw),
    fromText: behaviour.fromText,
    // A default of null is never formatted: the example file leaves such a key commented out.
    format: value => behaviour.format(value as T),
  }
}

function measure<D extends number | null>(
  options: MeasureOptions<D>,
  units: ReadonlyMap<string, number>,
  noun: string,
  sample: string,
  format: (value: number) => string,
): Leaf<number | NoInfer<D>> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options
  return leaf<number, D>(options, {
    type: join([noun, boundsText(options.min, options.max, format)]),
    read(raw) {
      if (raw === 0) return inBounds(0, min, max, format)
      if (typeof raw !== 'string') return wrong(raw, `a ${noun} with its unit, such as ${sample}`)
      const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]{1,3})$/.exec(raw)
      const unit = match === null ? undefined : units.get(match[2]!)
      if (match === null || unit === undefined)
        return bad(`is not a ${noun} with its unit, such as ${sample} (units: ${[...units.keys()].join(', ')})`)
      const value = Math.round(Number(match[1]) * unit)
      return Number.isSafeInteger(value) ? inBounds(value, min, max, format) : bad('is too large')
    },
    fromText: text => (text === '0' ? 0 : text),
    format,
  })
}

function formatMeasure(value: number, units: ReadonlyMap<string, number>): string {
  let best = `${value}${units.keys().next().value}`
  if (value === 0) return best
  let bestDigits = String(value).length
  for (const [name, size] of units) {
    const digits = String(value / size).length
    if (value % size === 0 && digits < bestDigits) {
      best = `${value / size}${name}`
      bestDigits = digits
    }
  }
  return best
}

function inBounds(value: number, min: number, max: number, format: (value: number) => string): Read<number> {
  if (value < min) return bad(`is ${format(value)}, below its minimum of ${format(min)}`)
  if (value > max) return bad(`is ${format(value)}, above its maximum of ${format(max)}`)
  return { ok: true, value }
}

function boundsText(
  min: number | undefined,
  max: number | undefined,
  format: (value: number) => string,
): string | undefined {
  if (min !== undefined && max !== undefined) return `${format(min)} to ${format(max)}`
  if (min !== undefined) return `at least ${format(min)}`
  return max === undefined ? undefined : `at most ${format(max)}`
}

function bad(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem }
}

/** Says the kind of what was found, never its value: it may be a secret in the wrong place. */
function wrong(raw: unknown, expected: string): { readonly ok: false; readonly problem: string } {
  const found = raw === null || raw === undefined ? 'empty' : typeof raw === 'string' ? 'text' : `a ${typeof raw}`
  return bad(
    found === 'text' && expected.startsWith('one of') ? `is not ${expected}` : `is ${found}, expected ${expected}`,
  )
}

function textToNumber(text: string): unknown {
  return /^[-+]?\d+(\.\d+)?(e[-+]?\d+)?$/i.test(text) ? Number(text) : text
}

function join(parts: readonly (string | undefined)[]): string {
  return parts.filter(part => part !== undefined).join(', ')
}
