/**
 * The files of the console, and nothing else: what stands in `page` at the start and two libraries, read once, compressed once, and
 * served from memory.
 *
 * A request's path is a key of a map; it is never joined with a folder. Own files are plain ES modules, served as they stand; the
 * libraries come from node_modules. All of them are public: they hold no data.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, join, relative } from 'node:path'
import { brotliCompressSync, gzipSync, constants as zlib } from 'node:zlib'

export interface Asset {
  readonly contentType: string
  /** Strong, of the uncompressed bytes. */
  readonly etag: string
  /** The file in a content coding; `identity` is the file as it stands. Compressed when first asked for, then kept. */
  body(coding: Coding): Uint8Array<ArrayBuffer>
}

/** Content codings, the best first. */
export const codings = ['br', 'gzip', 'identity'] as const
export type Coding = (typeof codings)[number]

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
}

const pageFolder = join(import.meta.dirname, 'page')

/** Path under /console/ → where the package keeps it. */
const vendor: Readonly<Record<string, string>> = {
  'vendor/lit-html.js': 'lit-html/lit-html.js',
  'vendor/uplot.js': 'uplot/dist/uPlot.esm.js',
  'vendor/uplot.css': 'uplot/dist/uPlot.min.css',
}

/** Every asset by the path at which it is served: `/` is the page, the rest stands under /console/. */
export function readAssets(): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>()
  for (const file of pageFiles()) {
    const name = relative(pageFolder, file)
    assets.set(name === 'index.html' ? '/' : `/console/${name}`, readAsset(file))
  }
  const require = createRequire(import.meta.url)
  for (const [name, specifier] of Object.entries(vendor)) {
    assets.set(
      `/console/${name}`,
      readAsset(join(packageFolder(require, specifier), specifier.replace(/^[^/]+\//, ''))),
    )
  }
  return assets
}

/** What a browser loads: by type, and no tests. */
function pageFiles(): string[] {
  return readdirSync(pageFolder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && contentTypes[extname(entry.name)] !== undefined)
    .map(entry => join(entry.parentPath, entry.name))
}

/** Found by its package.json's folder or main file: a package's `exports` need not name the file that a browser wants. */
function packageFolder(require: NodeJS.Require, specifier: string): string {
  const name = specifier.split('/')[0]!
  const main = require.resolve(name)
  return main.slice(0, main.lastIndexOf(join('node_modules', name)) + join('node_modules', name).length)
}

function readAsset(file: string): Asset {
  const identity = Uint8Array.from(readFileSync(file))
  const bodies = new Map<Coding, Uint8Array<ArrayBuffer>>([['identity', identity]])
  return {
    contentType: contentTypes[extname(file)]!,
    etag: `"${createHash('sha256').update(identity).digest('base64url').slice(0, 22)}"`,
    body: coding => {
      const body = bodies.get(coding) ?? compressed[coding](identity)
      bodies.set(coding, body)
      return body
    },
  }
}

/** The best but two: the best takes ten times as long on the thread that serves batches, for 8 % of the bytes. */
const brotliQuality = 9

const compressed: Readonly<Record<Coding, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>>> = {
  br: bytes => Uint8Array.from(brotliCompressSync(bytes, { params: { [zlib.BROTLI_PARAM_QUALITY]: brotliQuality } })),
  gzip: bytes => Uint8Array.from(gzipSync(bytes, { level: 9 })),
  identity: bytes => bytes,
}

/** The best coding that `accept-encoding` allows (RFC 9110 §12.5.3; a weight of 0 forbids). */
export function chooseCoding(acceptEncoding: string | undefined): Coding {
  const accepted = new Set(
    (acceptEncoding ?? '')
      .toLowerCase()
      .split(',')
      .map(part => part.trim().split(/\s*;\s*/))
      .filter(([, weight]) => !/^q=0(\.0*)?$/.test(weight ?? ''))
      .map(([coding]) => coding),
  )
  return codings.find(coding => accepted.has(coding)) ?? 'identity'
}
