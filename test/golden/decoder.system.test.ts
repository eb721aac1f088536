import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { goldenFiles, layout1Names } from './golden.ts'
import { vectors } from './vectors.ts'

const decoder = fileURLToPath(new URL('decode.py', import.meta.url))

test.each([...Object.keys(vectors), ...layout1Names])(
  'an independent decoder in Python reads the golden vector %s alike',
  name => {
    const output = execFileSync('python3', [decoder, goldenFiles.content(name), goldenFiles.body(name)], {
      encoding: 'utf8',
    })
    expect(JSON.parse(output)).toEqual(JSON.parse(readFileSync(goldenFiles.json(name), 'utf8')))
  },
)
