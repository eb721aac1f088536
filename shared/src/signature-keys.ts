/**
 * Ed25519 keys as they travel and are stored: 32 raw bytes in base64url without padding, turned into `KeyObject`s once and kept
 * by the caller (importing a key costs as much as a third of a verification).
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { TributaryError } from './errors.ts'

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export function generateKeyPair(): KeyPair {
  return generateKeyPairSync('ed25519')
}

/** The raw public key in base64url. Accepts the private key too. */
export function publicKeyText(key: KeyObject): string {
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' })
  if (key.asymmetricKeyType !== 'ed25519' || x === undefined) throw notKey('not an Ed25519 key')
  return x
}

/** The public key that 43 characters of base64url say. Throws `malformed`. */
export function publicKeyFromText(text: string): KeyObject {
  checkText(text)
  return importKey(() => createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' }))
}

export function publicKeyFromBytes(raw: Uint8Array): KeyObject {
  return publicKeyFromText(Buffer.from(raw).toString('base64url'))
}

export function publicKeyBytes(key: KeyObject): Uint8Array {
  return Buffer.from(publicKeyText(key), 'base64url')
}

/** The 32-byte seed of a private key in base64url: a secret, for a 0600 file and nowhere else. */
export function privateKeyText(key: KeyObject): string {
  const { d } = key.export({ format: 'jwk' })
  if (key.asymmetricKeyType !== 'ed25519' || d === undefined) throw notKey('not an Ed25519 private key')
  return d
}

/** The key pair of a stored seed. Throws `malformed`. */
export function keyPairFromText(seed: string): KeyPair {
  checkText(seed)
  // RFC 8410 §7: PKCS #8 around an Ed25519 seed is this prefix and the seed.
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'base64url')])
  const privateKey = importKey(() => createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }))
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

function checkText(text: string): void {
  const bytes = Buffer.from(text.length === 43 ? text : '', 'base64url')
  if (bytes.length !== 32 || bytes.toString('base64url') !== text) throw notKey('not 32 bytes in base64url')
}

function importKey(make: () => KeyObject): KeyObject {
  try {
    return make()
  } catch (cause) {
    throw new TributaryError('malformed', 'key: OpenSSL refuses it', { cause })
  }
}

function notKey(why: string): TributaryError {
  return new TributaryError('malformed', `key: ${why}`)
}
