import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
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
  const off =
    'url|hub_key_file|tls|cert_file|key_file|ca_file|password_file|kafka|brokers|topic_prefix|partitions|replication|max_pending|sasl|mechanism|username'
  const text = exampleText()
    .replace(new RegExp(`^( *)# ( *(?:${off}):)`, 'gm'), '$1$2')
    .replace(/brokers: \[\]\n *# {2}- (.*)/, 'brokers: [$1]')
  const config = parseHubConfig(text, 'hub.yaml', {})
  expect(config.listen.tls?.certFile).toBe('/etc/tributary/hub.crt')
  expect(config.database.url).toMatch(/^postgres:/)
  expect(config.kafka).toMatchObject({ brokers: ['kafka-1.example.com:9093'], sasl: { username: 'tributary' } })
  expect(config.kafka?.tls?.keyFile).toBe('/etc/tributary/kafka.key')
})

describe('kafka', () => {
  const parse = (kafka: string) => parseHubConfig(`kafka: ${kafka}`, 'hub.yaml', {}).kafka

  test('is off without its section, and needs nothing but a broker', () => {
    expect(parseHubConfig('', 'hub.yaml', {}).kafka).toBe(null)
    expect(parse('{brokers: ["kafka-1:9092", "[::1]:9093"]}')).toMatchObject({
      brokers: ['kafka-1:9092', '[::1]:9093'],
      topicPrefix: 'tributary.',
      partitions: 4,
      replication: 3,
      sasl: null,
      tls: null,
    })
  })

  test('takes authorities for TLS, and a login whose password is in a file', () => {
    const kafka = parse('{brokers: ["k:1"], tls: {ca_file: /ca}, sasl: {username: u, password_file: /p}}')
    expect(kafka?.tls).toEqual({ caFile: '/ca', certFile: null, keyFile: null })
    expect(kafka?.sasl).toEqual({ mechanism: 'scram-sha-512', username: 'u', passwordFile: '/p' })
  })

  test.each([
    ['{brokers: []}', /kafka\.brokers.*empty/],
    ['{}', /kafka\.brokers.*empty/],
    ['{brokers: ["kafka-1"]}', /host and its port/],
    ['{brokers: ["k:1"], replication: 0}', /replication.*below its minimum of 1/],
    ['{brokers: ["k:1"], retain: 10m}', /retain.*below its minimum of 1h/],
    ['{brokers: ["k:1"], tls: {key_file: /k}}', /key_file.*without `cert_file`/],
    ['{brokers: ["k:1"], sasl: {mechanism: plain, username: u, password_file: /p}}', /scram-sha-256/],
    ['{brokers: ["k:1"], sasl: {username: u, password: secret}}', /password_file/],
    ['{brokers: ["k:1"], topic_prefix: "a/b"}', /letters, digits/],
  ])('%s is refused', (text, message) => {
    expect(() => parse(text)).toThrow(message)
  })
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
