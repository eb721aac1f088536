/**
 * A value as the 16 hex digits of its IEEE 754 binary64, big-endian: two values are the same reading only if all bits are. A
 * boolean counts as 1 or 0, as the hub stores it.
 */
const view = new DataView(new ArrayBuffer(8))

export function valueBits(value: number | boolean): string {
  view.setFloat64(0, Number(value))
  return view.getBigUint64(0).toString(16).padStart(16, '0')
}

export function valueFromBits(bits: string): number {
  view.setBigUint64(0, BigInt(`0x${bits}`))
  return view.getFloat64(0)
}
