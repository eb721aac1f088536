import { describe, expect, expectTypeOf, it } from 'vitest'
import { ConfigError, maxTextBytes, parseConfig } from './config.ts'
import { boolean, bytes, duration, integer, list, number, object, oneOf, string } from './config-schema.ts'

const schema = object({
  hub: string({ help: 'Where batches go.', default: null, env: 'T_HUB' }),
  name: string({ help: 'Who.', minLength: 1, maxLength: 8, default: 'gw' }),
  mqtt: object(
    {
      port: integer({ help: 'Port.', default: 1883, min: 0, max: 65535, env: 'T_PORT' }),
      max_packet: bytes({ help: 'Bound.', default: 65536, min: 128, max: 2 ** 20 }),
      allow_subscribe: boolean({ help: 'Debug.', default: false }),
      users: list(object({ name: string({ help: 'User.' }), age: number({ help: 'Age.', default: 1.5 }) }), {
        help: 'Users.',
        maxItems: 3,
      }),
    },
    { check: (value, problem) => value.port === 99 && problem('port', 'must not be 99') },
  ),
  tls: object({ cert: string({ help: 'File.' }) }, { optional: true }),
  storage: oneOf(['sd', 'ssd'], { help: 'Profile.', default: 'sd' }),
  wait: duration({ help: 'Wait.', default: 5000, min: 100, max: 60_000 }),
  tags: list(string({ help: 'Tag.' }), { help: 'Tags.', env: 'T_TAGS' }),
})

function problems(text: string, env: Record<string, string> = {}): string[] {
  try {
    parseConfig(text, 'agent.yaml', schema, { env })
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(problem => problem.message)
    throw error
  }
  return []
}

describe('parseConfig', () => {
  it('an empty file is every default, typed and in camel case', () => {
    const config = parseConfig('', 'agent.yaml', schema)
    expect(config).toEqual({
      hub: null,
      name: 'gw',
      mqtt: { port: 1883, maxPacket: 65536, allowSubscribe: false, users: [] },
      tls: null,
      storage: 'sd',
      wait: 5000,
      tags: [],
    })
    expectTypeOf(config.hub).toEqualTypeOf<string | null>()
    expectTypeOf(config.mqtt.maxPacket).toEqualTypeOf<number>()
    expectTypeOf(config.mqtt.users).toEqualTypeOf<readonly { readonly name: string; readonly age: number }[]>()
    expectTypeOf(config.tls).toEqualTypeOf<{ readonly cert: string } | null>()
    expectTypeOf(config.storage).toEqualTypeOf<'sd' | 'ssd'>()
  })

  it('reads every kind of value', () => {
    const text =
      'hub: http://h\nmqtt: {port: 0, max_packet: 64KB, users: [{name: a, age: 2}]}\nwait: 1.5s\nstorage: ssd\ntags: [x, y]\ntls: {cert: c.pem}\n'
    expect(parseConfig(text, 'agent.yaml', schema)).toMatchObject({
      hub: 'http://h',
      mqtt: { port: 0, maxPacket: 64_000, users: [{ name: 'a', age: 2 }] },
      wait: 1500,
      storage: 'ssd',
      tags: ['x', 'y'],
      tls: { cert: 'c.pem' },
    })
  })

  it('refuses an unknown key at its place, with the nearest known name', () => {
    expect(problems('name: a\nstorage: sd\nhubb: x\n')).toEqual([
      'unknown key `hubb` at agent.yaml:3:1; did you mean `hub`?',
    ])
    expect(problems('mqtt:\n  prot: 1\n')).toEqual(['unknown key `mqtt.prot` at agent.yaml:2:3; did you mean `port`?'])
    expect(problems('zebra: 1\n')[0]).toBe(
      'unknown key `zebra` at agent.yaml:1:1; known here: hub, name, mqtt, tls, storage, wait, tags',
    )
    expect(problems('__proto__: {a: 1}\nconstructor: 1\n')).toHaveLength(2)
  })

  it('reports every problem of a file together', () => {
    expect(
      problems(
        'name: ""\nmqtt:\n  port: 70000\n  max_packet: 10\n  allow_subscribe: yes\nstorage: sdd\nwait: 5\ntags: {a: 1}\n',
      ),
    ).toEqual(
      [
        '`mqtt.port` at agent.yaml:3:9 is 70000, above its maximum of 65535',
        '`mqtt.max_packet` at agent.yaml:4:15 is a number, expected a size with its unit, such as `64KiB` or `16MB`',
        '`mqtt.allow_subscribe` at agent.yaml:5:20 is text, expected true or false',
        '`storage` at agent.yaml:6:10 is not one of `sd`, `ssd`; did you mean `sd`?',
        '`wait` at agent.yaml:7:7 is a number, expected a duration with its unit, such as `100ms`, `5s` or `10m`',
        '`tags` at agent.yaml:8:7 is a group of keys, expected a list',
      ].toSpliced(0, 0, '`name` at agent.yaml:1:7 is empty'),
    )
  })

  it('a missing key names the group that lacks it', () => {
    expect(problems('mqtt:\n  users:\n    - age: 3\n')).toEqual([
      '`mqtt.users[0].name` is missing at agent.yaml:3:7; it is text',
    ])
    expect(problems('tls: {crt: x}\n')).toEqual(['unknown key `tls.crt` at agent.yaml:1:7; did you mean `cert`?'])
  })

  it('refuses a key given twice', () => {
    expect(problems('name: a\nname: b\n')).toEqual(['`name` is given twice, at agent.yaml:1:1 and at agent.yaml:2:1'])
  })

  it('bounds hold at their edges', () => {
    expect(problems('mqtt: {port: 65535}\nname: 12345678\n')).toEqual([
      '`name` at agent.yaml:2:7 is a number, expected text; put it in quotes',
    ])
    expect(problems('name: "12345678"\n')).toEqual([])
    expect(problems('name: "123456789"\n')).toEqual(['`name` at agent.yaml:1:7 is longer than 8 characters'])
    expect(problems('mqtt: {port: -1}\n')).toEqual(['`mqtt.port` at agent.yaml:1:14 is -1, below its minimum of 0'])
    expect(problems('mqtt: {port: 1.5}\n')).toEqual([
      '`mqtt.port` at agent.yaml:1:14 is a number, expected a whole number',
    ])
    expect(problems('wait: 60s\n')).toEqual([])
    expect(problems('wait: 61s\n')).toEqual(['`wait` at agent.yaml:1:7 is 61s, above its maximum of 1m'])
    expect(problems('mqtt: {users: [{name: a}, {name: a}, {name: a}, {name: a}]}\n')[0]).toMatch(
      /has 4 items; at most 3/,
    )
  })

  it('a cross-check speaks of the key it found wanting', () => {
    expect(problems('mqtt:\n  port: 99\n')).toEqual(['`mqtt.port` at agent.yaml:2:3 must not be 99'])
  })

  it('the environment overrides the file and is checked by the same rule', () => {
    const config = parseConfig('hub: a\n', 'agent.yaml', schema, { env: { T_HUB: 'b', T_PORT: '7', T_TAGS: 'x, y' } })
    expect([config.hub, config.mqtt.port, config.tags]).toEqual(['b', 7, ['x', 'y']])
    expect(problems('', { T_PORT: 'many' })).toEqual([
      '`mqtt.port` from the environment variable T_PORT is text, expected a whole number',
    ])
  })

  it('YAML that does not parse is refused with its line', () => {
    expect(problems('name: [a\nhub: b\n')[0]).toMatch(/agent\.yaml:2:1/)
    expect(problems('name: "a\n')[0]).toMatch(/agent\.yaml:\d+:\d+/)
    expect(problems('a: 1\n---\nb: 2\n')[0]).toMatch(/documents/)
    expect(problems('- a\n')).toEqual(['the file at agent.yaml:1:1 is a list, expected keys and values'])
  })

  it('an alias bomb, a tower of brackets and an endless file are refused', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`),
    ]
    expect(problems(bomb.join('\n'))[0]).toMatch(/cannot be read/)
    expect(problems('['.repeat(20_000))[0]).toMatch(/agent\.yaml/)
    expect(problems(`#${'x'.repeat(maxTextBytes - 1)}`)).toEqual([])
    expect(problems(`#${'x'.repeat(maxTextBytes)}`)[0]).toMatch(/262145 bytes long; at most 262144/)
  })

  it('no message repeats a value: it may be a secret', () => {
    expect(problems('mqtt: hunter2\nwait: hunter2\nstorage: hunter2\n').join('\n')).not.toMatch(/hunter2/)
  })
})
