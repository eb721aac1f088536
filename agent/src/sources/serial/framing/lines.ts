/** Plain lines: the line is the payload. Nothing tells the sender that it was stored. */
import type { Framing } from './framing.ts'

export const lines: Framing = {
  name: 'lines',
  parse: line => ({ payload: line, number: null }),
}
