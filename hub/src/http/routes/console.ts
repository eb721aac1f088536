/**
 * The console: `GET /` and its assets under /console/. Public, for they hold no data; what they show they ask of the API.
 *
 * The policy allows the hub's own scripts and styles and nothing inline, so that a name that is HTML can do nothing even if it got
 * into the page as such.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Context } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import { type Asset, chooseCoding, readAssets } from '../../console/assets.ts'
import type { HubApp, HubEnv } from '../services.ts'

const paths = ['/', '/console/*'] as const

/** Registered before the headers of the API: the outermost sets last. */
export function consoleHeaders(app: HubApp): void {
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      connectSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      manifestSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: 'DENY',
  })
  for (const path of paths) app.use(path, headers)
}

export function consoleRoutes(app: HubApp): void {
  const assets = readAssets()
  for (const path of paths) {
    app.get(path, c => {
      const asset = assets.get(c.req.path)
      if (asset === undefined) throw new TributaryError('not-found', `the console has no file ${c.req.path}`)
      return answer(c, asset)
    })
  }
}

function answer(c: Context<HubEnv>, asset: Asset): Response {
  const coding = chooseCoding(c.req.header('accept-encoding'))
  const etag = coding === 'identity' ? asset.etag : `${asset.etag.slice(0, -1)}-${coding}"`
  c.header('etag', etag)
  c.header('cache-control', 'no-cache')
  c.header('vary', 'accept-encoding')
  if (matches(c.req.header('if-none-match'), etag)) return c.body(null, 304)
  if (coding !== 'identity') c.header('content-encoding', coding)
  c.header('content-type', asset.contentType)
  return c.body(asset.body(coding))
}

/** RFC 9110 §13.1.2: weak comparison. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch.split(',').some(one => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}
