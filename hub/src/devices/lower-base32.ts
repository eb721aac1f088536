/** RFC 4648 §6 in lower case, without padding: names that people read out and file systems keep apart. */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'

export function lowerBase32(bytes: Uint8Array): string {
  let text = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += alphabet[(buffer >> bits) & 31]
    }
  }
  return bits > 0 ? text + alphabet[(buffer << (5 - bits)) & 31] : text
}
