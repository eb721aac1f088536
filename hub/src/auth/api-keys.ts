/**
 * Keys of people and machines for the REST API.
 *
 * A presented key is hashed and the hash is looked up: the comparison happens on SHA-256 values that a caller cannot steer, so its
 * time says nothing about any stored key. Known keys are remembered for `staleMs`: a revocation is in force everywhere after that.
 * Unknown keys are not remembered, so guesses cannot fill memory.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Pool } from 'pg'
import { hashApiKey } from './admin-key.ts'

/** How long a revoked key may still be honoured, ms. */
export const staleMs = 5000
/** Keys remembered at most; the oldest leaves first. */
const maxRemembered = 1000

export interface Principal {
  readonly keyId: string
  readonly role: 'admin'
}

interface Remembered {
  readonly principal: Principal
  readonly untilMs: number
}

export class ApiKeys {
  readonly #pool: Pool
  readonly #now: () => number
  readonly #remembered = new Map<string, Remembered>()

  constructor(pool: Pool, now: () => number = () => performance.now()) {
    this.#pool = pool
    this.#now = now
  }

  /** Who presents `authorization: Bearer tak_…`; throws `unauthenticated`. */
  async authenticate(authorization: string | undefined): Promise<Principal> {
    const key = /^Bearer (tak_[A-Za-z0-9_-]{43})$/i.exec(authorization ?? '')?.[1]
    if (key === undefined) {
      throw new TributaryError('unauthenticated', 'this request needs the header authorization: Bearer tak_…', {
        hint: 'The admin key stands in the file admin-key of the hub’s data folder',
      })
    }
    const hash = hashApiKey(key)
    const name = hash.toString('base64')
    const remembered = this.#remembered.get(name)
    if (remembered !== undefined && remembered.untilMs > this.#now()) return remembered.principal
    this.#remembered.delete(name)
    const found = await this.#pool.query<{ key_id: string; role: 'admin' }>(
      'select key_id, role from api_key where key_hash = $1 and revoked_at is null',
      [hash],
    )
    const [row] = found.rows
    if (row === undefined) throw new TributaryError('unauthenticated', 'this API key is unknown or revoked')
    const principal: Principal = { keyId: row.key_id, role: row.role }
    if (this.#remembered.size >= maxRemembered) this.#remembered.delete(this.#remembered.keys().next().value!)
    this.#remembered.set(name, { principal, untilMs: this.#now() + staleMs })
    return principal
  }
}
