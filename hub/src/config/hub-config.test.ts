import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { exampleFile, exampleText } from './example-file.ts'
import { parseHubConfig } from './hub-config.ts'
import { readConfig } from './read-config.ts'

test('hub.example.yaml is what the schema renders', () => {
  expect(readFileSync(exampleFile, 'utf8')).toBe(exampleText())
})

test('the example file is every default', () => {
  expect(parseHubConfig(exampleText(), 'hub.example.yaml', {})).toEqual(parseHubConfig('', 'hub.yaml', {}))
})

test('the example file stays valid with everything in it switched on', () => {
  const text = exampleText().replace(/^( *)# ( *(?:url|hub_key_file|tls|cert_file|key_file|password_file):)/gm, '$1$2')
  const config = parseHubConfig(text, 'hub.yaml', {})
  expect(config.listen.tls?.certFile).toBe('/etc/tributary/hub.crt')
  expect(config.database.url).toMatch(/^postgres:/)
})

test('the environment wins over the file', () => {
  const env = { TRIBUTARY_HUB_PORT: '0', DATABASE_URL: 'postgres://x', TRIBUTARY_DATA_DIR: '/d' }
  const config = parseHubConfig('listen: {port: 9}', 'hub.yaml', env)
  expect(config).toMatchObject({ dataDir: '/d', listen: { port: 0 }, database: { url: 'postgres://x' } })
})

test('a mistyped key is refused with its place and the nearest name', () => {
  expect(() => parseHubConfig('listen:\n  prot: 1\n', 'hub.yaml', {})).toThrow(/listen\.prot.*hub\.yaml:2:3.*`port`/)
})

test('a named file that is not there is refused; without a name there need be none', () => {
  expect(() => readConfig('/nowhere/hub.yaml', {})).toThrow('/nowhere/hub.yaml cannot be read (ENOENT)')
})
