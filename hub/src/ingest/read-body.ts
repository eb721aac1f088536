/**
 * A request body, read whole and never beyond its bound: what is too long is refused by its declared length before a byte is read,
 * or, when it lies, as soon as it passes the bound. The bytes are counted in flight while they arrive.
 */
import type { IncomingMessage } from 'node:http'
import { TributaryError } from '@tributary/shared/errors'
import type { InFlight } from './in-flight.ts'

export interface BodySource {
  /** `content-length` as sent. */
  readonly declaredLength: string | undefined
  /** Node's own stream (the fast way), or a web stream, or null for no body. */
  readonly stream: IncomingMessage | ReadableStream<Uint8Array> | null
}

/** Read at most `maxBytes`. The caller releases `body.length` bytes from `inFlight` when it is done; a failed read releases itself. */
export async function readBody(source: BodySource, maxBytes: number, inFlight: InFlight): Promise<Buffer> {
  const declared = Number(source.declaredLength ?? 0)
  if (declared > maxBytes) throw tooLarge(maxBytes)
  if (source.stream === null) return Buffer.alloc(0)
  inFlight.check(declared)
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of chunksOf(source.stream)) {
      if (length + chunk.length > maxBytes) throw tooLarge(maxBytes)
      inFlight.reserve(chunk.length)
      length += chunk.length
      chunks.push(chunk)
    }
  } catch (error) {
    inFlight.release(length)
    if (error instanceof TributaryError) throw error
    throw new TributaryError('malformed', 'the request body ended early', { cause: error, retryable: true })
  }
  const [only] = chunks
  return chunks.length === 1 && Buffer.isBuffer(only) ? only : Buffer.concat(chunks, length)
}

/** The stream stays open when reading stops early: the refusal has to travel back on its connection. */
function chunksOf(stream: IncomingMessage | ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  return 'iterator' in stream ? stream.iterator({ destroyOnReturn: false }) : stream.values({ preventCancel: true })
}

function tooLarge(maxBytes: number): TributaryError {
  return new TributaryError('too-large', `the request body is longer than ${maxBytes} bytes`, {
    hint: 'Seal smaller batches',
  })
}
