/**
 * Enrolment tokens: `tet_<id>_<secret>`. The id (12 characters of lower-case base32) is what lists and logs show; the secret is
 * 256 random bits in base64url. The database keeps SHA-256 of the whole token, and finds a token by that hash alone: an unknown id
 * and a wrong secret look the same.
 */
import { createHash, randomBytes } from 'node:crypto'
import { lowerBase32 } from './lower-base32.ts'

const form = /^tet_([a-z2-7]{12})_[A-Za-z0-9_-]{43}$/

export function newEnrollmentToken(): { tokenId: string; token: string; hash: Buffer } {
  const tokenId = lowerBase32(randomBytes(8)).slice(0, 12)
  const token = `tet_${tokenId}_${randomBytes(32).toString('base64url')}`
  return { tokenId, token, hash: hashEnrollmentToken(token) }
}

export function hashEnrollmentToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** Whether a text has the form of a token; says nothing about whether it is one. */
export function looksLikeToken(text: string): boolean {
  return form.test(text)
}
