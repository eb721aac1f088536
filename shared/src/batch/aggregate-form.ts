/**
 * The outer form of an aggregate's bytes (window/aggregate-codec.ts), taken apart into numbers for the columns of a batch and put
 * together again, byte for byte. Its sums and sketch, the `rest`, stay as they are.
 */
import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'

export interface AggregateForm {
  /** 256 × version + flags. */
  readonly form: number
  readonly n: number
  readonly min: number
  readonly max: number
  readonly first: number
  readonly last: number
  readonly firstUs: number
  /** Time of the last reading − time of the first. */
  readonly spanUs: number
  readonly firstOrder: number
  readonly lastOrder: number
  readonly rest: Uint8Array
}

const subject = 'aggregate'

/** Throws `malformed` for bytes that `putTogether` would not give back, and for an aggregate of nothing. */
export function takeApart(bytes: Uint8Array): AggregateForm {
  const source = new ByteReader(bytes, 0, bytes.length, subject)
  const form = 256 * source.u8() + source.u8()
  const n = source.uvarint()
  const [min, max, first, last] = [source.f64(), source.f64(), source.f64(), source.f64()]
  const parts: AggregateForm = {
    form,
    n,
    min,
    max,
    first,
    last,
    firstUs: source.svarint(),
    spanUs: source.uvarint(),
    firstOrder: source.svarint(),
    lastOrder: source.svarint(),
    rest: source.take(source.remaining),
  }
  checkForm(parts)
  const again = new ByteWriter(bytes.length)
  putTogether(again, parts)
  if (Buffer.compare(again.bytes(), bytes) !== 0) throw malformed('a number is not in its shortest form', subject)
  return parts
}

/** What both directions ask of the numbers; throws `malformed`. */
export function checkForm({ form, n, min, max, first, last, spanUs, firstUs }: AggregateForm): void {
  if (!(form >= 0 && form < 2 ** 16)) throw malformed(`its version and flags are ${form}`, subject)
  if (!(n >= 1)) throw malformed(`it is of ${n} readings`, subject)
  if (!(Number.isSafeInteger(firstUs) && spanUs >= 0)) {
    throw malformed(`its readings are from ${firstUs} on, for ${spanUs} µs`, subject)
  }
  if (!(Number.isFinite(min) && Number.isFinite(max) && Number.isFinite(first) && Number.isFinite(last)))
    throw malformed('one of its values is not finite', subject)
}

export function putTogether(out: ByteWriter, parts: AggregateForm): void {
  out.u8(Math.floor(parts.form / 256))
  out.u8(parts.form % 256)
  out.uvarint(parts.n)
  out.f64(parts.min)
  out.f64(parts.max)
  out.f64(parts.first)
  out.f64(parts.last)
  out.svarint(parts.firstUs)
  out.uvarint(parts.spanUs)
  out.svarint(parts.firstOrder)
  out.svarint(parts.lastOrder)
  out.raw(parts.rest)
}
