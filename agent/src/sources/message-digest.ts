/**
 * The digest of a receipt: topic and payload in 64 bits, as 16 hex digits.
 *
 * Two 32-bit multiplicative lanes over 4-byte words, each finished by an avalanche step; 0.1 µs for a short message where
 * node:crypto needs 1 µs. It guards against chance, not malice: a client can only confuse its own messages.
 */
export function messageDigest(
  bytes: Buffer,
  topicAt: number,
  topicEnd: number,
  payloadAt: number,
  end: number,
): string {
  let a = 0x9e3779b9 ^ (topicEnd - topicAt)
  let b = 0x7f4a7c15 ^ (end - payloadAt)
  for (let part = 0; part < 2; part++) {
    let i = part === 0 ? topicAt : payloadAt
    const stop = part === 0 ? topicEnd : end
    for (; i + 4 <= stop; i += 4) {
      const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
      a = Math.imul(a ^ word, 0x85ebca6b)
      a ^= a >>> 15
      b = Math.imul(b ^ word, 0xc2b2ae35)
      b = (b << 13) | (b >>> 19)
    }
    for (; i < stop; i++) {
      a = Math.imul(a ^ bytes[i]!, 0x27d4eb2f)
      a ^= a >>> 15
      b = Math.imul(b ^ bytes[i]!, 0x165667b1)
      b = (b << 13) | (b >>> 19)
    }
  }
  a = Math.imul(a ^ (b >>> 16), 0x85ebca6b)
  b = Math.imul(b ^ (a >>> 13), 0xc2b2ae35)
  a ^= b >>> 16
  scratch.writeInt32BE(a, 0)
  scratch.writeInt32BE(b, 4)
  return scratch.toString('hex')
}

/** Written anew by every digest. Hex by way of it takes 0.2 µs, by `toString(16)` 1.2 µs. */
const scratch = Buffer.alloc(8)
