/** Everything on stdin, as text; for secrets, which have no place in argv. */
import { TributaryError } from '@tributary/shared/errors'

export async function readStdin(maxBytes: number): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('reading from the terminal; end with Ctrl-D\n')
  const parts: Buffer[] = []
  let size = 0
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    size += part.length
    if (size > maxBytes) throw new TributaryError('too-large', `more than ${maxBytes} bytes on stdin`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
