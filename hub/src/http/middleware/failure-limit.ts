/**
 * Slows down guessing: an address whose requests keep being refused has to wait. Successes cost nothing, so that a plant behind one
 * address can enrol ten thousand gateways at once.
 *
 * A token bucket an address (an IPv6 address counts by its /64), in a bounded map: when it is full the address seen least recently
 * is forgotten.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { MiddlewareHandler } from 'hono'
import { statusOf } from '../problem.ts'
import type { HubEnv } from '../services.ts'

export interface FailureLimit {
  /** Failures that may come at once. */
  readonly burst: number
  /** One more is allowed after this many ms. */
  readonly refillMs: number
  /** Addresses remembered. */
  readonly addresses: number
}

const defaults: FailureLimit = { burst: 20, refillMs: 3000, addresses: 10_000 }

/** Counts answers from 400 to 499. `now` never jumps: nobody waits longer because the hub's clock was set back. */
export function failureLimit(
  now: () => number = () => performance.now(),
  limit: FailureLimit = defaults,
): MiddlewareHandler<HubEnv> {
  /** Address → when its bucket is full again, ms. */
  const fullAtMs = new Map<string, number>()
  return async (c, next) => {
    const address = networkOf(c.env?.incoming?.socket.remoteAddress ?? 'none')
    const owedMs = (fullAtMs.get(address) ?? 0) - now()
    const waitMs = owedMs - (limit.burst - 1) * limit.refillMs
    if (waitMs > 0) {
      throw new TributaryError('rate-limited', 'too many refused requests from this address', {
        retryAfterS: Math.ceil(waitMs / 1000),
      })
    }
    await next()
    if (c.res.status < 400 || c.res.status >= 500 || c.res.status === statusOf('rate-limited')) return
    fullAtMs.delete(address)
    if (fullAtMs.size >= limit.addresses) fullAtMs.delete(fullAtMs.keys().next().value!)
    fullAtMs.set(address, Math.max(0, owedMs) + now() + limit.refillMs)
  }
}

/** An IPv4 address as it is, an IPv6 address by its first 64 bits. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped) return mapped[1]!
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::', 2)
  const left = head.split(':').filter(Boolean)
  const right = tail === undefined ? [] : tail.split(':').filter(Boolean)
  const groups = [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right]
  return `${groups.slice(0, 4).join(':')}::/64`
}
