import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { chooseCoding, readAssets } from './assets.ts'

const assets = readAssets()

test('every asset holds the same bytes in every coding, and has an etag of its own', () => {
  for (const asset of assets.values()) {
    expect(brotliDecompressSync(asset.body('br')).equals(asset.body('identity'))).toBe(true)
    expect(gunzipSync(asset.body('gzip')).equals(asset.body('identity'))).toBe(true)
  }
  expect(new Set([...assets.values()].map(asset => asset.etag)).size).toBe(assets.size)
})

test('everything that the page and its modules name is served', () => {
  const text = (path: string) => Buffer.from(assets.get(path)!.body('identity')).toString()
  const named = [...text('/').matchAll(/(?:href|src)="([^"]+)"/g)].map(found => found[1]!)
  for (const path of assets.keys()) {
    if (!path.endsWith('.js') || path.startsWith('/console/vendor/')) continue
    const code = text(path).replace(/\/\*[\s\S]*?\*\//g, '')
    const imports = code.matchAll(/(?:from |import\()'([^']+)'/g)
    named.push(...[...imports].map(found => new URL(found[1]!, `http://hub${path}`).pathname))
  }
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter(path => !assets.has(path))).toEqual([])
})

test('neither tests nor types nor maps are served', () => {
  expect([...assets.keys()].filter(path => /\.(ts|map|json)$/.test(path))).toEqual([])
})

test('a first visit transfers less than 120 kB, before the first chart less than 60 kB', () => {
  const bytes = (chart: boolean) =>
    [...assets]
      .filter(([path]) => chart || !/uplot\.js|\/chart\//.test(path))
      .reduce((sum, [, one]) => sum + one.body('br').length, 0)
  expect(bytes(true)).toBeLessThan(120_000)
  expect(bytes(false)).toBeLessThan(60_000)
})

test.each([
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip', 'gzip'],
  ['br;q=0, gzip;q=0.5', 'gzip'],
  ['br;q=0.0', 'identity'],
  ['GZIP', 'gzip'],
  ['', 'identity'],
  [undefined, 'identity'],
])('accept-encoding %j gets %s', (header, coding) => {
  expect(chooseCoding(header)).toBe(coding)
})
