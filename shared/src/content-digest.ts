/**
 * Content-Digest (RFC 9530): the hash of a message's content, so that a signature over one short field covers the whole body.
 *
 * Writes sha-256; verifies every sha-256 and sha-512 that is given, needs at least one of them and ignores other algorithms, as
 * §2 asks. Comparison is constant-time.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { TributaryError } from './errors.ts'
import { isInnerList, parseDictionary } from './structured-fields.ts'

/** Field name as signatures use it. */
export const contentDigestField = 'content-digest'

const algorithms = { 'sha-256': 'sha256', 'sha-512': 'sha512' } as const
export type DigestAlgorithm = keyof typeof algorithms

/** The field value for `body`: `sha-256=:…:`. */
export function contentDigest(body: Uint8Array, algorithm: DigestAlgorithm = 'sha-256'): string {
  return `${algorithm}=:${hash(algorithms[algorithm], body, 'base64')}:`
}

/** Throws `unauthenticated` unless `field` parses, names sha-256 or sha-512, and every one of them is the digest of `body`. */
export function verifyContentDigest(field: string, body: Uint8Array): void {
  const dictionary = parseDictionary(field)
  let verified = 0
  for (const [name, member] of dictionary) {
    if (name !== 'sha-256' && name !== 'sha-512') continue
    if (isInnerList(member) || !(member.value instanceof Uint8Array)) {
      throw new TributaryError('unauthenticated', `content-digest: ${name} is not a byte sequence`)
    }
    const actual = hash(algorithms[name], body, 'buffer')
    if (member.value.length !== actual.length || !timingSafeEqual(member.value, actual)) {
      throw new TributaryError('unauthenticated', `content-digest: ${name} does not match the content`, {
        hint: 'the body was changed on its way, or the sender hashed something else',
      })
    }
    verified++
  }
  if (verified === 0) throw new TributaryError('unauthenticated', 'content-digest has neither sha-256 nor sha-512')
}
