/** What a unit of systemd says, and which system calls its filter lets through. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Unit {
  /** Values of a directive of [Service], in order. */
  all(directive: string): string[]
  /** The last value, which is the one in force. */
  last(directive: string): string
}

export function readUnit(file: string): Unit {
  const lines = readFileSync(file, 'utf8').split('\n')
  const all = (directive: string) =>
    lines.filter(line => line.startsWith(`${directive}=`)).map(line => line.slice(directive.length + 1))
  return {
    all,
    last(directive) {
      const value = all(directive).at(-1)
      if (value === undefined) throw new Error(`${file} has no ${directive}=`)
      return value
    },
  }
}

/** The first line of SystemCallFilter= allows, those that begin with ~ take away. */
export function allowedSystemCalls(unit: Unit): Set<string> {
  const allowed = new Set<string>()
  for (const line of unit.all('SystemCallFilter')) {
    const calls = line.replace(/^~/, '').split(' ').flatMap(members)
    for (const call of calls) line.startsWith('~') ? allowed.delete(call) : allowed.add(call)
  }
  return allowed
}

/** Sets hold names and other sets. */
function members(name: string): string[] {
  if (!name.startsWith('@')) return [name]
  const listed = execFileSync('systemd-analyze', ['--no-pager', 'syscall-filter', name], { encoding: 'utf8' })
  const lines = listed
    .split('\n')
    .slice(1)
    .map(line => line.trim())
  return lines.filter(line => line !== '' && !line.startsWith('#')).flatMap(members)
}
