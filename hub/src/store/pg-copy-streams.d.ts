/** What is used of pg-copy-streams, which brings no types. */
declare module 'pg-copy-streams' {
  import type { Writable } from 'node:stream'
  import type { Submittable } from 'pg'

  /** A stream to `client.query` that sends what is written to it as the data of a `copy … from stdin`. */
  export function from(sql: string): Writable & Submittable
}
