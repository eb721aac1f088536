/** Each linter of deploy/ is shown a file with one fault, made from the real one, and must name it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { linters } from './linters.ts'
import { requireTools } from './tools.ts'

let folder: string

beforeAll(() => {
  requireTools()
  folder = mkdtempSync(join(tmpdir(), 'broken-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const faults: readonly {
  readonly linter: string
  readonly fault: string
  readonly break: (text: string) => string
  readonly named: string
}[] = [
  { linter: 'hadolint', fault: 'a base image without tag', break: replaced(/:24\S+/, ''), named: 'DL3006' },
  {
    linter: 'hadolint',
    fault: 'a shell-form entrypoint',
    break: replaced(/ENTRYPOINT.*/, 'ENTRYPOINT x'),
    named: 'DL3025',
  },
  { linter: 'compose-spec', fault: 'a mistyped key', break: replaced('read_only:', 'readonly:'), named: 'readonly' },
  {
    linter: 'compose-spec',
    fault: 'a volume that is not declared',
    break: replaced(/^ {2}hub-data:$/m, ''),
    named: 'hub-data',
  },
  {
    linter: 'compose-lint',
    fault: 'a privileged service',
    break: replaced('cap_drop:', 'privileged: true\n  cap_drop:'),
    named: 'privileged',
  },
  {
    linter: 'compose-lint',
    fault: 'a port on every address',
    break: replaced('["127.0.0.1:1883', '["0.0.0.0:1883'),
    named: 'CL-0005',
  },
  { linter: 'shellcheck', fault: 'an unquoted variable', break: text => `${text}\nrm $1\n`, named: 'SC2086' },
  {
    linter: 'systemd-analyze verify',
    fault: 'a mistyped directive',
    break: replaced('ProtectSystem', 'ProtectSytem'),
    named: 'ProtectSytem',
  },
  {
    linter: 'systemd-analyze verify',
    fault: 'a value that is none',
    break: replaced('UMask=0077', 'UMask=many'),
    named: 'Failed to parse mode value',
  },
  {
    linter: 'systemd-analyze verify, as drop-in',
    fault: 'a mistyped directive',
    break: replaced('LoadCredential', 'LoadCredentail'),
    named: 'LoadCredentail',
  },
  {
    linter: 'systemd-analyze security',
    fault: 'a unit without its hardening',
    break: replaced(/^(Protect|Restrict|SystemCall).*$/gm, ''),
    named: 'ProtectSystem',
  },
]

describe('a linter of deploy/', () => {
  test.each(faults)('$linter names $fault', ({ linter: name, break: broken, named }) => {
    const linter = linters.find(one => one.name === name)!
    const original = linter.files[0]!
    expect(linter.check(original)).toBeNull()
    const text = readFileSync(original, 'utf8')
    const changed = join(folder, basename(original))
    writeFileSync(changed, broken(text))
    expect(readFileSync(changed, 'utf8')).not.toBe(text)
    expect(linter.check(changed)).toContain(named)
  })
})

function replaced(what: string | RegExp, by: string): (text: string) => string {
  return text => text.replace(what, by)
}
