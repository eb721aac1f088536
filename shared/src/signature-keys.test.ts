import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  generateKeyPair,
  keyPairFromText,
  privateKeyText,
  publicKeyBytes,
  publicKeyFromBytes,
  publicKeyFromText,
  publicKeyText,
} from './signature-keys.ts'

test('a key pair survives the way through its texts', () => {
  const pair = generateKeyPair()
  const again = keyPairFromText(privateKeyText(pair.privateKey))
  expect(again.publicKey.equals(pair.publicKey)).toBe(true)
  expect(again.privateKey.equals(pair.privateKey)).toBe(true)
  expect(publicKeyText(pair.privateKey)).toBe(publicKeyText(pair.publicKey))
  expect(publicKeyFromText(publicKeyText(pair.publicKey)).equals(pair.publicKey)).toBe(true)
  expect(publicKeyFromBytes(publicKeyBytes(pair.publicKey)).equals(pair.publicKey)).toBe(true)
  expect(publicKeyBytes(pair.publicKey)).toHaveLength(32)
})

test('RFC 8032 §7.1 test 1: the seed gives the published public key', () => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex').toString(
    'base64url',
  )
  expect(Buffer.from(publicKeyBytes(keyPairFromText(seed).publicKey)).toString('hex')).toBe(
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  )
})

test.each([
  ['nothing', ''],
  ['31 bytes', Buffer.alloc(31).toString('base64url')],
  ['33 bytes', Buffer.alloc(33).toString('base64url')],
  ['padding', `${Buffer.alloc(32).toString('base64url')}=`],
  ['bits left over', `${'A'.repeat(42)}B`],
  ['other letters', `${'A'.repeat(42)}!`],
  ['a space', `${'A'.repeat(41)} A`],
])('%s is no key', (_what, text) => {
  expect(() => publicKeyFromText(text)).toThrow(expect.objectContaining({ code: 'malformed' }))
  expect(() => keyPairFromText(text)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('a key of another kind is refused', () => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  expect(() => publicKeyText(publicKey)).toThrow('not an Ed25519 key')
  expect(() => privateKeyText(privateKey)).toThrow('not an Ed25519 private key')
})
