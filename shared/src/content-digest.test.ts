import { describe, expect, test } from 'vitest'
import { contentDigest, verifyContentDigest } from './content-digest.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const unauthenticated = expect.objectContaining({ code: 'unauthenticated' })

describe('examples of RFC 9530', () => {
  const hello = bytes('{"hello": "world"}\n')
  const sha256 = 'sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:'
  const sha512 = 'sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:'

  test('B.1: {"hello": "world"} and a line feed', () => {
    expect(contentDigest(hello)).toBe(sha256)
    verifyContentDigest(sha256, hello)
  })

  test('B.2: no content', () => {
    expect(contentDigest(new Uint8Array())).toBe('sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:')
  })

  test('§2: sha-512, alone and beside sha-256', () => {
    expect(contentDigest(hello, 'sha-512')).toBe(sha512)
    verifyContentDigest(sha512, hello)
    verifyContentDigest(`${sha256}, ${sha512}`, hello)
  })

  test('one wrong digest beside a right one is refused', () => {
    expect(() => verifyContentDigest(`${contentDigest(bytes('other'))}, ${sha512}`, hello)).toThrow(unauthenticated)
  })

  test('an unknown algorithm is ignored beside a known one and refused alone', () => {
    verifyContentDigest(`md5=:AAAA:, ${sha256}`, hello)
    expect(() => verifyContentDigest('md5=:AAAA:', hello)).toThrow('neither sha-256 nor sha-512')
  })
})

test.each([
  ['the digest of other content', contentDigest(bytes('x'))],
  ['a digest cut short', 'sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8Fa:'],
  ['a string', 'sha-256="RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="'],
  ['an inner list', 'sha-256=(:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:)'],
  ['nothing', ''],
])('%s does not pass', (_what, field) => {
  expect(() => verifyContentDigest(field, bytes('{"hello": "world"}\n'))).toThrow(unauthenticated)
})
