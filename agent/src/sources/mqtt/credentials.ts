/**
 * User names and passwords of MQTT clients.
 *
 * A password is kept as `scrypt$N$r$p$salt$key` (base64url without padding; RFC 7914), made by `hashPassword`. Comparison takes
 * the same time for a known and an unknown user. A password found right is remembered for the life of the process as an HMAC
 * under a random key, so that a thousand sensors that come back together do not wait for a thousand scrypt computations; at
 * most `maxConcurrent` run at once and `maxQueued` wait, beyond that `check` says `busy`.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { TributaryError } from '@tributary/shared/errors'

const cost = { N: 16384, r: 8, p: 1 } as const
const keyBytes = 32
const maxConcurrent = 2
const maxQueued = 256
/** Longest password looked at, bytes. */
const maxPasswordBytes = 1024

interface PasswordHash {
  readonly N: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly key: Buffer
}

export class Credentials {
  readonly #users: ReadonlyMap<string, PasswordHash>
  /** Stands in for unknown users. */
  readonly #nobody: PasswordHash = { ...cost, salt: randomBytes(16), key: randomBytes(keyBytes) }
  readonly #rememberKey = randomBytes(32)
  readonly #remembered = new Map<string, Buffer>()
  #running = 0
  readonly #queue: (() => void)[] = []

  /** @throws config for a hash that cannot be read */
  constructor(users: readonly { readonly name: string; readonly passwordHash: string }[]) {
    this.#users = new Map(users.map(user => [user.name, parseHash(user.name, user.passwordHash)]))
  }

  get required(): boolean {
    return this.#users.size > 0
  }

  async check(name: string, password: Buffer): Promise<boolean | 'busy'> {
    const hash = this.#users.get(name)
    const mark = createHmac('sha256', this.#rememberKey).update(password).digest()
    const remembered = this.#remembered.get(name)
    if (remembered !== undefined && timingSafeEqual(remembered, mark)) return true
    if (this.#queue.length >= maxQueued) return 'busy'
    const right = await this.#limited(() => matches(hash ?? this.#nobody, password))
    if (!right || hash === undefined) return false
    this.#remembered.set(name, mark)
    return true
  }

  async #limited<T>(run: () => Promise<T>): Promise<T> {
    if (this.#running >= maxConcurrent) await new Promise<void>(resolve => this.#queue.push(resolve))
    this.#running++
    try {
      return await run()
    } finally {
      this.#running--
      this.#queue.shift()?.()
    }
  }
}

/** `scrypt$N$r$p$salt$key` of a new password. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16)
  const key = await derive(Buffer.from(password), { ...cost, salt, key: Buffer.alloc(keyBytes) })
  return ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64url'), key.toString('base64url')].join('$')
}

/** Lines `name:hash`; empty lines and lines that begin with # are skipped. */
export function parsePasswordFile(
  text: string,
  fileName: string,
): { readonly name: string; readonly passwordHash: string }[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return []
    const colon = line.indexOf(':')
    if (colon < 1) throw new TributaryError('config', `${fileName}:${index + 1} is not name:hash`)
    return [{ name: line.slice(0, colon), passwordHash: line.slice(colon + 1).trim() }]
  })
}

async function matches(hash: PasswordHash, password: Buffer): Promise<boolean> {
  return (
    timingSafeEqual(hash.key, await derive(password.subarray(0, maxPasswordBytes), hash)) &&
    password.length <= maxPasswordBytes
  )
}

function derive(password: Buffer, { N, r, p, salt, key }: PasswordHash): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  scrypt(password, salt, key.length, { N, r, p, maxmem: 64 * 1024 * 1024 + 256 * N * r }, (error, derived) =>
    error ? reject(error) : resolve(derived),
  )
  return promise
}

function parseHash(name: string, text: string): PasswordHash {
  const match = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w-]{8,64})\$([\w-]{22,86})$/.exec(text)
  const [N, r, p] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3])]
  if (match === null || N < 2 || N > 2 ** 20 || (N & (N - 1)) !== 0 || r < 1 || r > 16 || p < 1 || p > 16) {
    throw new TributaryError('config', `the password hash of MQTT user \`${name}\` cannot be read`, {
      hint: 'Make one with: tributary-agent password hash',
    })
  }
  return { N, r, p, salt: Buffer.from(match[4]!, 'base64url'), key: Buffer.from(match[5]!, 'base64url') }
}
