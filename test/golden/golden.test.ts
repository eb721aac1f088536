import { readFileSync } from 'node:fs'
import { decodeBatch, encodeContent } from '@tributary/shared/batch/codec'
import { describe, expect, test } from 'vitest'
import { goldenFiles, layout1Names, toJson } from './golden.ts'
import { vectors } from './vectors.ts'

describe.each(Object.entries(vectors))('golden vector %s', (name, batch) => {
  const expected: unknown = JSON.parse(readFileSync(goldenFiles.json(name), 'utf8'))

  test('encodes to exactly the golden content', () => {
    expect(Buffer.from(encodeContent(batch))).toEqual(readFileSync(goldenFiles.content(name)))
  })

  test('decodes from the golden body', () => {
    expect(toJson(decodeBatch(readFileSync(goldenFiles.body(name))))).toEqual(expected)
    expect(toJson(batch)).toEqual(expected)
  })
})

test.each(layout1Names)('the body %s of a release before decodes to what it says', name => {
  const body = readFileSync(goldenFiles.body(name))
  expect(body[3]).toBe(1)
  expect(toJson(decodeBatch(body))).toEqual(JSON.parse(readFileSync(goldenFiles.json(name), 'utf8')))
})
