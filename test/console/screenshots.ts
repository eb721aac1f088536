/** `npm run screenshots`: the pictures of docs/images, of the real console over a plant that is made for them. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import type { Anomaly, Page as ListPage, Series } from '../../hub/src/console/page/types.d.ts'
import { repository } from '../harness/program.ts'
import type { RunningHub } from '../harness/stack.ts'
import { desktop, launchBrowser, visit } from './browser.ts'
import { playLive, startPlant } from './plant.ts'

/** Longest picture, bytes. */
const maxBytes = 300_000

const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }

const folder = mkdtempSync(join(tmpdir(), 'tributary-screenshots-'))
try {
  await using plant = await startPlant(folder)
  await using browser = await launchBrowser()
  const live = playLive(plant)
  const { seriesId, failure } = await pressOf(plant.hub)
  const chart = `#/series?ids=${seriesId}&range=all`
  await picture(browser, plant.hub, 'console-desktop', `${chart}&anomaly=${failure}`, { viewport: desktop })
  await picture(browser, plant.hub, 'console-phone', chart, phone)
  await picture(browser, plant.hub, 'console-dark', '#/', { viewport: desktop, colorScheme: 'dark' })
  await live
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** The recorded machine, and the most surprising of its anomalies. */
async function pressOf(hub: RunningHub): Promise<{ seriesId: number; failure: string }> {
  const headers = { authorization: `Bearer ${hub.adminKey}` }
  const get = async <T>(path: string) => (await (await fetch(`${hub.url}${path}`, { headers })).json()) as T
  const series = await get<ListPage<Series>>('/v1/series?device=press-1')
  const { seriesId } = series.items[0]!
  const { items } = await get<ListPage<Anomaly>>(`/v1/anomalies?series=${seriesId}`)
  return { seriesId, failure: items.toSorted((a, b) => b.surprise - a.surprise)[0]!.anomalyId }
}

async function picture(
  browser: Browser,
  hub: RunningHub,
  name: string,
  address: string,
  options: BrowserContextOptions,
) {
  const { context, page } = await visit(browser, hub, address, options)
  await page.locator('[data-connection="open"]').first().waitFor({ state: 'attached' })
  await page
    .locator(address === '#/' ? '.spark-line polyline' : '.mark')
    .first()
    .waitFor()
  await page.waitForFunction(() => document.querySelector('.skeleton, [aria-busy="true"]') === null)
  // A dozen seconds of the rate.
  await page.waitForFunction(() => {
    const line = document.querySelector('.rate-line polyline')
    return document.querySelector('.rate-line') === null || (line?.getAttribute('points') ?? '').split(' ').length > 12
  })
  const path = join(repository, 'docs/images', `${name}.png`)
  await page.screenshot({ path })
  const { size } = statSync(path)
  if (size > maxBytes) throw new Error(`${path} has ${size} bytes; at most ${maxBytes}`)
  console.log(`${path}: ${size} bytes`)
  await context.close()
}
