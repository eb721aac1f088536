import { describe, expect, it } from 'vitest'
import { parseConfig } from './config.ts'
import { renderExample, renderReference } from './config-render.ts'
import { bytes, duration, integer, list, object, string } from './config-schema.ts'

const schema = object({
  url: string({ help: 'Where to.', default: null, example: 'https://x', env: 'T_URL' }),
  key: string({ help: 'Must be there.', example: 'abc' }),
  size: bytes({ help: 'How much.', default: 65536, min: 16, max: 2 ** 20 }),
  tls: object({ cert: string({ help: 'File.', example: 'c.pem' }) }, { help: 'Encryption.', optional: true }),
  ports: list(
    object({
      name: string({ help: 'Name.', example: 'a' }),
      wait: duration({ help: 'Wait.', default: 1500 }),
      pins: list(integer({ help: 'Pin.', example: 3 }), { help: 'Pins.', maxItems: 8 }),
    }),
    { help: 'Ports.', maxItems: 4 },
  ),
  tags: list(integer({ help: 'Tag.', example: 7 }), { help: 'Tags.' }),
})

describe('renderExample', () => {
  it('shows every key with its meaning, bounds and default; what has no default is commented out', () => {
    expect(renderExample(schema, 'Header.')).toBe(`# Header.

# Where to.
# Text; default: none. Environment: T_URL.
# url: "https://x"

# Must be there.
# Text; must be given.
key: "abc"

# How much.
# Size, 16B to 1MiB; default: 64KiB.
size: 64KiB

# Encryption. Without this group it is off.
# tls:
  # File.
  # Text; must be given.
  # cert: "c.pem"

# Ports.
# List, at most 4; default: none.
ports: []
#     # Name.
#     # Text; must be given.
#   - name: "a"
#     # Wait.
#     # Duration; default: 1500ms.
#     wait: 1500ms
#     # Pins.
#     # List, at most 8; default: none.
#     pins: [3]

# Tags.
# List, at most 1000; default: none.
tags: []
#  - 7
`)
  })

  it('is a valid configuration', () => {
    expect(parseConfig(renderExample(schema, 'Header.'), 'x.yaml', schema)).toEqual({
      url: null,
      key: 'abc',
      size: 65536,
      tls: null,
      ports: [],
      tags: [],
    })
  })
})

describe('renderReference', () => {
  it('is a table of every key, those of list items and groups too', () => {
    expect(renderReference(schema)).toBe(`| key | value | default | environment | meaning |
|---|---|---|---|---|
| \`url\` | text | none | \`T_URL\` | Where to. |
| \`key\` | text | must be given |  | Must be there. |
| \`size\` | size, 16B to 1MiB | 64KiB |  | How much. |
| \`tls.cert\` | text | must be given |  | File. |
| \`ports\` | list, at most 4 | none |  | Ports. |
| \`ports[].name\` | text | must be given |  | Name. |
| \`ports[].wait\` | duration | 1500ms |  | Wait. |
| \`ports[].pins\` | list, at most 8 | none |  | Pins. |
| \`tags\` | list, at most 1000 | none |  | Tags. |
`)
  })
})
