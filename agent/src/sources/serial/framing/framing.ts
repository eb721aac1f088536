/**
 * A line framing: from a line to the payload in it, pure. How to add one: a module with a `Framing`, an entry in the table of
 * serial-source.ts, its name in the schema of the configuration.
 */
export interface Frame {
  readonly payload: Buffer
  /** The sender's number of the line, by which it is acknowledged; null where the framing has none. */
  readonly number: number | null
}

export interface Framing {
  readonly name: string
  /** Null: damaged on the way. It is counted, not stored and not acknowledged. */
  parse(line: Buffer): Frame | null
}
