/** For tests of agent N−1 against hub N: a batch as the release before wrote it. */
import type { Batch } from './batch.ts'
import { writeFirstPart } from './batch-header.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { encodeContent, summarize } from './codec.ts'
import { wrap } from './frame.ts'

/** The batch in layout 1, which says nothing of `folded`, classes, recalls and aggregates. */
export function encodeLayout1(batch: Batch): Uint8Array {
  const header = new ByteWriter()
  writeFirstPart(header, summarize(batch))
  const content = new ByteWriter()
  content.u8(1)
  content.uvarint(header.length)
  content.raw(header.bytes())
  content.raw(afterHeader(encodeContent({ ...batch, aggregates: [] })))
  return wrap(content.bytes(), 1)
}

function afterHeader(content: Uint8Array): Uint8Array {
  const source = new ByteReader(content, 1)
  source.skip(source.uvarint())
  return content.subarray(source.position)
}
