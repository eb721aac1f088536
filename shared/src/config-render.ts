/**
 * A schema as text for people: the example file (every key at its default, each with its meaning, unit, default and bounds) and
 * the reference table. The example file is itself a valid configuration: what has no default is commented out, unless it must
 * be given and the schema has an example for it.
 */
import type { ConfigNode, Leaf, ListNode, Shape } from './config-schema.ts'

type GroupNode = Extract<ConfigNode, { readonly node: 'object' }>

/** Longest comment line, columns. */
const width = 100

/** The example file. `header` stands on top, as a comment. */
export function renderExample(schema: GroupNode, header: string): string {
  return `${[...comment(header, ''), '', ...objectLines(schema.shape, '', false)].join('\n').trimEnd()}\n`
}

/** Every key as a row of a Markdown table: key, what it is, default, environment variable, meaning. */
export function renderReference(schema: GroupNode): string {
  const rows = leavesOf(schema.shape, '').map(({ path, node }) => {
    const what = node.node === 'leaf' ? node.type : node.node === 'list' ? `list, at most ${node.maxItems}` : 'group'
    const env = node.node === 'object' || node.env === null ? '' : `\`${node.env}\``
    return `| \`${path}\` | ${what} | ${defaultText(node)} | ${env} | ${node.help} |`
  })
  return ['| key | value | default | environment | meaning |', '|---|---|---|---|---|', ...rows, ''].join('\n')
}

function objectLines(shape: Shape, indent: string, commented: boolean): string[] {
  return Object.entries(shape).flatMap(([key, node]) => [...keyLines(key, node, indent, commented), ''])
}

function keyLines(key: string, node: ConfigNode, indent: string, commented: boolean): string[] {
  switch (node.node) {
    case 'leaf':
      return [...comment(`${node.help}\n${factsOf(node)}`, indent), leafLine(key, node, indent, commented)]
    case 'list':
      return [
        ...comment(`${node.help}\nList, at most ${node.maxItems}; default: none.${envText(node.env)}`, indent),
        ...listLines(key, node, indent, commented),
      ]
    case 'object': {
      const absent = node.optional ? ' Without this group it is off.' : ''
      const off = commented || node.optional
      const lines = objectLines(node.shape, `${indent}  `, off)
      while (lines.at(-1) === '') lines.pop()
      return [...comment(`${node.help}${absent}`, indent), `${off ? `${indent}# ` : indent}${key}:`, ...lines]
    }
  }
}

function leafLine(key: string, node: Leaf<unknown>, indent: string, commented: boolean): string {
  const given = node.default ?? node.example ?? null
  const off = commented || node.default === null || (node.default === undefined && node.example === undefined)
  return `${indent}${off ? '# ' : ''}${key}:${given === null ? '' : ` ${node.format(given)}`}`
}

/** An empty list, and one commented item to copy. */
function listLines(key: string, node: ListNode<unknown>, indent: string, commented: boolean): string[] {
  const { item } = node
  const empty = `${indent}${commented ? '# ' : ''}${key}: []`
  if (item.node === 'leaf')
    return item.example === undefined ? [empty] : [empty, `${indent}#  - ${item.format(item.example)}`]
  if (item.node === 'list') return [empty]
  const fields = Object.entries(item.shape as Shape).flatMap(([name, child]) => itemKeyLines(name, child))
  const body = fields.filter(line => line !== '').map(line => (line.startsWith('# ') ? line : `= ${line}`))
  let first = true
  return [
    empty,
    ...body.map(line => {
      if (line.startsWith('# ')) return `${indent}#     ${line}`
      const lead = first ? '  - ' : '    '
      first = false
      return `${indent}# ${lead}${line.slice(2)}`
    }),
  ]
}

/** A key of an item. A list in it shows its example in place: a second level of lines to copy would be hard to read. */
function itemKeyLines(key: string, node: ConfigNode): string[] {
  const lines = keyLines(key, node, '', false)
  if (node.node !== 'list' || node.item.node !== 'leaf' || node.item.example === undefined) return lines
  const comments = lines.filter(line => line.startsWith('# ') && !line.startsWith('#  - '))
  return [...comments, `${key}: [${node.item.format(node.item.example)}]`]
}

function factsOf(node: Leaf<unknown>): string {
  return `${capital(node.type)}; ${node.default === undefined ? 'must be given' : `default: ${defaultText(node)}`}.${envText(node.env)}`
}

function defaultText(node: ConfigNode): string {
  if (node.node !== 'leaf') return node.node === 'list' || node.optional ? 'none' : ''
  if (node.default === undefined) return 'must be given'
  return node.default === null ? 'none' : node.format(node.default)
}

function envText(env: string | null): string {
  return env === null ? '' : ` Environment: ${env}.`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function comment(text: string, indent: string): string[] {
  const room = width - indent.length - 2
  const lines: string[] = []
  for (const paragraph of text.trim().split('\n')) {
    let line = ''
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > room) {
        lines.push(line)
        line = word
      } else {
        line = line === '' ? word : `${line} ${word}`
      }
    }
    lines.push(line)
  }
  return lines.map(line => `${indent}# ${line}`.trimEnd())
}

function leavesOf(shape: Shape, prefix: string): { readonly path: string; readonly node: ConfigNode }[] {
  return Object.entries(shape).flatMap(([key, node]) => {
    const path = `${prefix}${key}`
    if (node.node === 'object') return leavesOf(node.shape, `${path}.`)
    if (node.node === 'list' && node.item.node === 'object')
      return [{ path, node }, ...leavesOf(node.item.shape, `${path}[].`)]
    return [{ path, node }]
  })
}
