/** An answer that the hub signs, to the very request that it answers: only such a one may move an agent's clock. */
import { type FieldMap, signResponse } from '@tributary/shared/signature'
import type { Context } from 'hono'
import type { HubEnv, HubServices } from './services.ts'

/** The headers that sign `body` as the answer to the request, `createdMs` being the hub's time. */
export function signedHeaders(
  hub: HubServices,
  c: Context<HubEnv>,
  status: number,
  body: Uint8Array,
  createdMs: number,
): Record<string, string> {
  return signResponse({
    status,
    body,
    requestHeaders: requestHeaders(c),
    privateKey: hub.hubKey.privateKey,
    createdS: createdMs / 1000,
  })
}

/** Lower-case names, several lines of one field as node:http joins them. */
export function requestHeaders(c: Context<HubEnv>): FieldMap {
  return c.env?.incoming?.headers ?? Object.fromEntries(c.req.raw.headers)
}
