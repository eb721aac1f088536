/**
 * The console in a real browser against a real hub, an agent and stored data: what a person sees, does and cannot do.
 *
 * The parts are started once; each test opens a profile of its own.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type MqttClient } from 'mqtt'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Anomaly, Page as ListPage, Overview, Points, Series } from '../../hub/src/console/page/types.d.ts'
import { enrollAgent, hubPool, type RunningAgent, type RunningHub, startAgent, startHub } from '../harness/stack.ts'
import { Complaints, desktop, launchBrowser, phone, type Visit, visit } from './browser.ts'
import { hostile, machineReadings, sendReadings } from './readings.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-console-'))
const complaints = new Complaints()
// Chromium notes every answer of 400 and above as an error; the console asks whether it is signed in.
complaints.expect(/status of 401 .*\/v1\/session\)$/)

let hub: RunningHub
let agent: RunningAgent
let browser: Browser
let mqtt: MqttClient

beforeAll(async () => {
  browser = await launchBrowser()
  hub = await startHub({ folder })
}, 120_000)

afterAll(async () => {
  await mqtt?.endAsync()
  await browser?.close()
  await agent?.program.stop()
  await hub?.program.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(`${hub.url}${path}`, { headers: { authorization: `Bearer ${hub.adminKey}` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as T
}

async function seriesNamed(device: string): Promise<Series> {
  const { items } = await get<ListPage<Series>>(`/v1/series?device=${encodeURIComponent(device)}`)
  return items[0]!
}

/** The event stream is open. */
const connected = (page: Page) =>
  page.locator('[data-connection="open"]').first().waitFor({ state: 'attached', timeout: 40_000 })

/** Opens a view as somebody who is signed in; closed when the test's scope ends. */
async function open(address: string, options = {}): Promise<Visit & AsyncDisposable> {
  const opened = await visit(browser, hub, address, { complaints, ...options })
  return { ...opened, [Symbol.asyncDispose]: () => opened.context.close() }
}

const drawn = (page: Page) =>
  page
    .locator('time-chart')
    .evaluate(chart => (chart as unknown as { drawn: { tsMs: number[]; value: number[] }[] }).drawn)

describe('a hub without anything', () => {
  test('says how to enrol an agent, with this hub’s address', async () => {
    await using view = await open('#/')
    await view.page.getByText('No agent yet').waitFor()
    const commands = await view.page.locator('.command code').allTextContents()
    expect(commands[0]).toContain('tributary-hub token create')
    expect(commands[1]).toContain(`tributary-agent enroll --hub ${hub.url}`)
  })

  test('with an agent says how to publish a reading, and shows the series when it was published', async () => {
    await enrollAgent({ folder, hub, hubUrl: hub.url })
    agent = await startAgent({ folder, hubUrl: hub.url })
    mqtt = await connectAsync(`mqtt://127.0.0.1:${agent.mqttPort}`)
    await using view = await open('#/series')
    await view.page.getByText('No series yet').waitFor()
    expect(await view.page.locator('.command code').first().textContent()).toContain('mosquitto_pub')
    await mqtt.publishAsync('sensors/live-1/level', JSON.stringify({ value: 4, unit: 'm' }), { qos: 1 })
    await view.page.locator('.series-row', { hasText: 'live-1' }).waitFor()
    expect(await view.page.locator('.row-value').first().textContent()).toContain('4\u202fm')
  })

  test('takes the readings of a machine that failed, and names that are HTML', async () => {
    await sendReadings(hub, [machineReadings(), ...hostile])
    await expect
      .poll(async () => (await get<ListPage<Anomaly>>('/v1/anomalies')).items.length, { timeout: 30_000 })
      .toBeGreaterThan(0)
  })
})

describe('signing in', () => {
  test('with a wrong key says so and shows nothing', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    complaints.hear(page)
    await page.goto(hub.url)
    await page.getByLabel('API key').fill(`tak_${'A'.repeat(43)}`)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('alert').textContent()).toContain('does not know this key')
    expect(await page.locator('.shell').count()).toBe(0)
    expect(await context.cookies()).toEqual([])
    await context.close()
  })

  test('with the key opens the console; the key is in no address, no storage and no cookie, and the cookie is not for scripts', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    complaints.hear(page)
    const addresses: string[] = []
    page.on('request', request => addresses.push(request.url()))
    await page.goto(hub.url)
    await page.getByLabel('API key').fill(hub.adminKey)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await connected(page)
    const kept = await page.evaluate(() =>
      JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, document.cookie, history.state]),
    )
    expect(kept).not.toContain(hub.adminKey)
    expect(kept).toContain('""')
    expect(addresses.join('\n')).not.toContain(hub.adminKey)
    expect(await page.content()).not.toContain(hub.adminKey)
    const [cookie, ...more] = await context.cookies()
    expect(more).toEqual([])
    expect(cookie).toMatchObject({ name: 'tributary_session', httpOnly: true, sameSite: 'Strict', path: '/' })
    expect(cookie!.value).not.toContain(hub.adminKey)
    await context.close()
  })

  test('and out ends the session at the hub and shows nothing any more', async () => {
    await using view = await open('#/agents')
    await view.page.getByRole('button', { name: 'Sign out' }).first().click()
    await view.page.getByLabel('API key').waitFor()
    expect(await view.page.locator('.shell').count()).toBe(0)
    expect((await view.context.request.get(`${hub.url}/v1/overview`)).status()).toBe(401)
    await view.page.reload()
    await view.page.getByLabel('API key').waitFor()
  })
})

describe('the overview', () => {
  test('shows what the hub counts', async () => {
    await using view = await open('#/')
    const tile = (label: string) => view.page.locator('.tile', { hasText: label }).locator('.tile-value')
    await expect
      .poll(async () => {
        const { readings, agents, anomalies } = await get<Overview>('/v1/overview')
        const shown = await Promise.all(
          ['Readings stored', 'Agents online', 'Open anomalies'].map(label => tile(label).textContent()),
        )
        const expected = [readings.toLocaleString('en'), `${agents.online} of ${agents.total}`, String(anomalies.open)]
        return shown.every((text, i) => text?.replace(/\s+/g, ' ').trim() === expected[i])
          ? 'equal'
          : { shown, expected }
      })
      .toBe('equal')
    expect(await view.page.locator('table tbody tr.link').count()).toBeGreaterThan(0)
  })
})

describe('the chart', () => {
  /** The anomaly of the machine's failure: the most surprising one. */
  async function failure(): Promise<{ series: Series; anomaly: Anomaly }> {
    const series = await seriesNamed('press-1')
    const { items } = await get<ListPage<Anomaly>>(`/v1/anomalies?series=${series.seriesId}`)
    return { series, anomaly: items.toSorted((a, b) => b.surprise - a.surprise)[0]! }
  }

  test('marks an anomaly on the curve at the time at which it opened', async () => {
    const { series, anomaly } = await failure()
    const openedMs = Date.parse(anomaly.openedAt)
    const [fromMs, toMs] = [openedMs - 3_600_000, openedMs + 3_600_000]
    await using view = await open(`#/series?ids=${series.seriesId}&from=${fromMs}&to=${toMs}`)
    const mark = view.page.locator(`.mark[data-anomaly="${anomaly.anomalyId}"]`)
    await mark.waitFor()
    expect(await mark.getAttribute('data-opened')).toBe(anomaly.openedAt)
    const plot = (await view.page.locator('.u-over').boundingBox())!
    const box = (await mark.boundingBox())!
    const msPerPixel = (toMs - fromMs) / plot.width
    const markedMs = fromMs + (box.x + box.width / 2 - plot.x) * msPerPixel
    expect(Math.abs(markedMs - openedMs)).toBeLessThanOrEqual(msPerPixel)
    const points = await get<Points>(`/v1/series/${series.seriesId}/points?from=${fromMs}&to=${toMs}`)
    expect((await drawn(view.page))[0]).toMatchObject({ tsMs: points.tsMs, value: points.value })
  })

  test('explains a marked anomaly when it is clicked', async () => {
    const { series, anomaly } = await failure()
    await using view = await open(`#/series?ids=${series.seriesId}&range=30d`)
    await view.page.locator(`.mark[data-anomaly="${anomaly.anomalyId}"]`).click()
    const card = view.page.getByRole('dialog')
    const text = (await card.textContent())!
    expect(text).toContain(anomaly.value!.toLocaleString('en', { maximumSignificantDigits: 5 }).replace('-', '−'))
    for (const word of [
      'Seen',
      'Expected',
      'Surprise',
      'Seen before',
      'Opened',
      anomaly.closedAt === null ? 'Open for' : 'Lasted',
    ]) {
      expect(text).toContain(word)
    }
    expect(await card.locator('time').getAttribute('datetime')).toBe(anomaly.openedAt)
    expect(view.page.url()).toContain(`anomaly=${anomaly.anomalyId}`)
    await view.page.reload()
    await view.page.getByRole('dialog').waitFor()
  })

  test('is reached, explained and left with the keyboard alone', async () => {
    await using view = await open('#/')
    const { page } = view
    await connected(page)
    await page.keyboard.press('/')
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('search')
    await page.keyboard.type('press')
    await page.locator('.series-row', { hasText: 'press-1' }).first().waitFor()
    await expect.poll(() => page.locator('.series-row').count()).toBe(1)
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.locator('time-chart .u-over').waitFor()
    await page.getByRole('button', { name: '30 d' }).focus()
    await page.keyboard.press('Enter')
    await page.locator('.mark').first().waitFor()
    const focused = () => page.evaluate(() => document.activeElement?.className ?? '')
    for (let presses = 0; presses < 30 && !(await focused()).startsWith('mark'); presses++)
      await page.keyboard.press('Tab')
    expect(await focused()).toMatch(/^mark/)
    const anomalyId = await page.evaluate(() => document.activeElement?.getAttribute('data-anomaly'))
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('explanation')
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await expect.poll(() => page.evaluate(() => document.activeElement?.getAttribute('data-anomaly'))).toBe(anomalyId)
    await page.keyboard.press('Shift+Tab')
    await page.locator('time-chart').focus()
    await page.keyboard.press('ArrowLeft')
    await page.locator('.readout').waitFor()
    expect(await page.locator('.readout').textContent()).toContain('°C')
  })

  test('shows a reading that is published, without being loaded again', async () => {
    const series = await seriesNamed('live-1')
    await using view = await open(`#/series?ids=${series.seriesId}&range=1h`)
    const { page } = view
    await page.locator('time-chart .u-over').waitFor()
    await connected(page)
    await page.evaluate(() => Object.assign(window, { loadedOnce: true }))
    for (const value of [7.25, 8.5]) {
      const before = (await drawn(page))[0]!.tsMs.length
      await mqtt.publishAsync('sensors/live-1/level', JSON.stringify({ value, unit: 'm' }), { qos: 1 })
      await expect.poll(async () => (await drawn(page))[0]!.value.at(-1), { timeout: 10_000 }).toBe(value)
      expect((await drawn(page))[0]!.tsMs.length).toBe(before + 1)
      await expect.poll(() => page.locator('.legend-value .latest').textContent()).toBe(`${value}\u202fm`)
    }
    expect(await page.evaluate(() => 'loadedOnce' in window)).toBe(true)
  })

  test('changes its range, and draws buckets where readings are too many', async () => {
    const series = await seriesNamed('press-1')
    await using view = await open(`#/series?ids=${series.seriesId}&range=6h`)
    const { page } = view
    await page.getByText('every reading').waitFor()
    const hours = async () => {
      const times = (await drawn(page))[0]!.tsMs
      return (times.at(-1)! - times[0]!) / 3_600_000
    }
    expect(await hours()).toBeLessThanOrEqual(6)
    await page.getByRole('button', { name: '30 d', exact: true }).click()
    await page.getByText(/mean and range of each/).waitFor()
    expect(await hours()).toBeGreaterThan(24 * 5)
    expect(page.url()).toContain('range=30d')
    await page.getByRole('button', { name: 'All', exact: true }).click()
    await expect.poll(() => page.locator('.segments [aria-pressed="true"]').textContent()).toBe('All')
    await page.goBack()
    await expect.poll(() => page.locator('.segments [aria-pressed="true"]').textContent()).toBe('30 d')
  })

  test('zooms where one drags, and goes back', async () => {
    const series = await seriesNamed('press-1')
    await using view = await open(`#/series?ids=${series.seriesId}&range=7d`)
    const { page } = view
    await page.locator('time-chart .u-over').waitFor()
    const plot = (await page.locator('.u-over').boundingBox())!
    await page.mouse.move(plot.x + plot.width * 0.25, plot.y + 60)
    await page.mouse.down()
    await page.mouse.move(plot.x + plot.width * 0.5, plot.y + 60, { steps: 4 })
    await page.mouse.up()
    await expect.poll(() => page.url()).toContain('from=')
    const query = new URLSearchParams(page.url().split('?')[1])
    const days = (Number(query.get('to')) - Number(query.get('from'))) / 86_400_000
    expect(days).toBeCloseTo(7 / 4, 1)
    await page.goBack()
    await expect.poll(() => page.url()).toContain('range=7d')
    await page.goForward()
    await page.getByRole('button', { name: 'Back to 7d' }).click()
    await expect.poll(() => page.url()).toContain('range=7d')
  })

  test('compares series, each unit in a panel of its own, and is shared by its address', async () => {
    const [press, live] = [await seriesNamed('press-1'), await seriesNamed('live-1')]
    await using view = await open(`#/series?ids=${press.seriesId}&range=24h`)
    await view.page.locator('time-chart .u-over').waitFor()
    await view.page.locator('.series-row', { hasText: 'live-1' }).locator('.compare').click()
    await expect.poll(() => view.page.locator('time-chart .u-over').count()).toBe(2)
    expect(view.page.url()).toContain(`ids=${press.seriesId},${live.seriesId}`)
    await view.page.reload()
    await expect.poll(() => view.page.locator('time-chart .u-over').count()).toBe(2)
    await view.page.getByRole('button', { name: /^Take press-1/ }).click()
    await expect.poll(() => view.page.locator('time-chart .u-over').count()).toBe(1)
  })
})

describe('names that are HTML', () => {
  test('stay text wherever they stand', async () => {
    for (const { device, metric } of hostile) {
      const series = await seriesNamed(device)
      await using view = await open(`#/series?ids=${series.seriesId}&range=24h`)
      const { page } = view
      await page.locator('.legend-name h1', { hasText: device }).waitFor()
      expect(await page.locator('.legend-name h1').textContent()).toBe(`${device} ${metric}`)
      await page.locator('.series-row', { hasText: device }).first().waitFor()
      await page.locator('time-chart .u-over').hover()
      await page.locator('.readout').waitFor()
      expect(await page.locator('#app img, #app script, #app b.hostile').count()).toBe(0)
      expect(await page.evaluate(() => 'harmed' in window)).toBe(false)
    }
  })
})

describe('the series list', () => {
  test('finds by a part of device or metric, and says when nothing is found', async () => {
    await using view = await open('#/series')
    const { page } = view
    await page.locator('.series-row').nth(1).waitFor()
    await page.getByLabel('Search series').fill('LIVE-1')
    await expect.poll(() => page.locator('.series-row').count()).toBe(1)
    expect(page.url()).toContain('q=LIVE-1')
    await page.getByLabel('Search series').fill('no such thing')
    await page.getByText('No series has “no such thing”').waitFor()
    await page.keyboard.press('Escape')
    await expect.poll(() => page.locator('.series-row').count()).toBeGreaterThan(1)
  })

  test('of ten thousand series draws only what is seen, and reads on as one scrolls', async () => {
    const pool = hubPool(hub.dataDir)
    try {
      await pool.query(
        `insert into series (agent_no, device, metric, unit)
         select (select min(agent_no) from agent), 'meter-' || lpad(i::text, 5, '0'), 'power', 'kW' from generate_series(1, 10000) i`,
      )
      await using view = await open('#/series?q=meter-')
      const { page } = view
      await page.locator('.series-row', { hasText: 'meter-00001' }).waitFor()
      await page.getByRole('listbox').focus()
      for (const expected of ['meter-00100', 'meter-00200', 'meter-00300']) {
        await page.keyboard.press('End')
        await page.locator('.series-row.active', { hasText: expected }).waitFor()
        expect(await page.locator('.series-row').count()).toBeLessThan(60)
        await expect
          .poll(() => page.locator('.series-count').textContent())
          .not.toBe(`over ${Number(expected.slice(-5))} series`)
      }
      await page.keyboard.press('Home')
      await page.locator('.series-row.active', { hasText: 'meter-00001' }).waitFor()
    } finally {
      await pool.query(`delete from series where device like 'meter-%'`)
      await pool.end()
    }
  })
})

describe('the agents', () => {
  test('say what became of their readings, by class where there is more than raw, and what is missing', async () => {
    const pool = hubPool(hub.dataDir)
    await pool.query(`insert into agent (agent_id, site, name) values ('ag-' || repeat('z', 20), 'mill', 'books')`)
    const of = `agent_no = (select agent_no from agent where name = 'books')`
    const counters = { accepted: 13, stored: 10, suppressed: 2, deadLettered: 0, evicted: 1, maybeDuplicate: 0 }
    try {
      await pool.query(`update agent set counters = $1 where ${of}`, [counters])
      await using view = await open('#/agents')
      const card = view.page.getByRole('article', { name: 'Agent books' })
      const table = card.getByRole('table', { name: 'Readings of books by class' })
      const fact = (name: string) => card.locator('.facts div', { hasText: name }).locator('dd')
      await card.waitFor()
      expect(await table.count()).toBe(0)
      expect(await fact('Missing batches').textContent()).toBe('0')
      expect(await fact('Folded').textContent()).toBe('0')
      const raw = { class: 'raw', accepted: 10, stored: 7, folded: 0, suppressed: 2, evicted: 1 }
      const aggregate = { class: 'aggregate', accepted: 0, stored: 0, folded: 0, suppressed: 0, evicted: 0 }
      const alarm = { ...aggregate, class: 'alarm', accepted: 3, stored: 3 }
      const told = { ...counters, folded: 0, classes: [raw, aggregate, alarm] }
      await pool.query(`update agent set counters = $1 where ${of}`, [told])
      await pool.query(
        `insert into received (consumer, agent_no, epoch, seqs, floor) select 'store', agent_no, 1, '{[1,3)}', 5 from agent where ${of}`,
      )
      await view.page.reload()
      await table.waitFor()
      expect(await table.getByRole('row').allTextContents()).toEqual([
        'ClassAcceptedStoredFoldedSuppressedEvicted',
        'Raw107021',
        'Alarm33000',
      ])
      expect(await fact('Missing batches').textContent()).toBe('2')
    } finally {
      await pool.query(`delete from received where ${of}`)
      await pool.query(`delete from agent where name = 'books'`)
      await pool.end()
    }
  })
})

describe('every view', () => {
  const views = ['#/', '#/series', '#/anomalies', '#/agents', 'chart', 'explanation', 'sign-in', 'shortcuts']

  async function show(name: string, options: object): Promise<Visit & AsyncDisposable> {
    if (name === 'sign-in') {
      const context = await browser.newContext(options)
      const page = await context.newPage()
      complaints.hear(page)
      await page.goto(hub.url)
      await page.getByLabel('API key').waitFor()
      return { context, page, [Symbol.asyncDispose]: () => context.close() }
    }
    const { seriesId } = await seriesNamed('press-1')
    const { items } = await get<ListPage<Anomaly>>(`/v1/anomalies?series=${seriesId}`)
    const chart = `#/series?ids=${seriesId}&range=30d`
    const address = { chart, explanation: `${chart}&anomaly=${items[0]!.anomalyId}`, shortcuts: '#/' }[name] ?? name
    const view = await open(address, options)
    await connected(view.page)
    await expect.poll(() => view.page.locator('.skeleton').count()).toBe(0)
    if (name === 'explanation') await view.page.getByRole('dialog').waitFor()
    if (name === 'shortcuts') await view.page.keyboard.press('?')
    return view
  }

  test.each(views)('%s does not scroll sideways on a phone, and its targets fit a thumb', async name => {
    await using view = await show(name, { viewport: phone, hasTouch: true })
    const measured = await view.page.evaluate(() => {
      const { scrollWidth } = document.scrollingElement!
      const main = document.querySelector('.main')
      const small = [...document.querySelectorAll('button, .tabs a, input')]
        .map(target => ({ target, box: target.getBoundingClientRect() }))
        .filter(
          ({ target, box }) =>
            box.width > 0 && !target.closest('.marks, .command') && Math.min(box.height, box.width) < 40,
        )
        .map(({ target, box }) => `${target.className} ${box.width}×${box.height}`)
      return { page: scrollWidth - innerWidth, main: main === null ? 0 : main.scrollWidth - main.clientWidth, small }
    })
    expect(measured).toEqual({ page: 0, main: 0, small: [] })
  })

  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const looks = [
    { look: 'light', colorScheme: 'light', viewport: desktop },
    { look: 'dark', colorScheme: 'dark', viewport: desktop },
    { look: 'phone', colorScheme: 'light', viewport: phone },
  ] as const

  test.each(views)('%s has no serious or critical finding of axe, light, dark and on a phone', async name => {
    await using view = await show(name, {})
    const { page } = view
    await page.evaluate(axe)
    for (const { look, colorScheme, viewport } of looks) {
      await page.emulateMedia({ colorScheme })
      await page.setViewportSize(viewport)
      expect({ look, findings: await page.evaluate(findings) }).toEqual({ look, findings: [] })
    }
  })
})

/** In the page, where axe was loaded. */
async function findings(): Promise<string[]> {
  interface Violation {
    readonly id: string
    readonly impact: string
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
  }
  const { axe } = window as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }
  const { violations } = await axe.run()
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary}`))
}

describe('dark and light', () => {
  const background = (page: Page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)

  test('follow the system until one is chosen, and the choice is remembered', async () => {
    await using view = await open('#/', { colorScheme: 'light' })
    const { page } = view
    await page.locator('.tile').first().waitFor()
    const light = await background(page)
    await page.emulateMedia({ colorScheme: 'dark' })
    const dark = await background(page)
    expect(dark).not.toBe(light)
    await page
      .getByRole('button', { name: /^Theme/ })
      .first()
      .click()
    await expect.poll(() => background(page)).toBe(light)
    await page.reload()
    await page.locator('.tile').first().waitFor()
    expect(await background(page)).toBe(light)
  })
})

describe('a hub that goes away', () => {
  test('is said to be away, and heard again when it is back, with what came meanwhile', async () => {
    const series = await seriesNamed('live-1')
    await using view = await open(`#/series?ids=${series.seriesId}&range=1h`)
    const { page } = view
    await page.locator('time-chart .u-over').waitFor()
    await connected(page)
    complaints.expect(
      /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|status of 503/,
    )
    await hub.program.stop()
    await page.locator('.banner', { hasText: 'cannot be reached' }).waitFor()
    expect(await page.locator('[data-connection="waiting"]').count()).toBeGreaterThan(0)
    await mqtt.publishAsync('sensors/live-1/level', JSON.stringify({ value: 99.5, unit: 'm' }), { qos: 1 })
    await hub.program.start()
    await connected(page)
    await page.locator('.banner').waitFor({ state: 'detached' })
    await expect.poll(async () => (await drawn(page))[0]!.value.at(-1), { timeout: 20_000 }).toBe(99.5)
  }, 120_000)
})

describe('a hub that is frozen', () => {
  test('is noticed by its silence, and heard again', async () => {
    await using view = await open('#/')
    const { page } = view
    await connected(page)
    process.kill(hub.program.pid, 'SIGSTOP')
    try {
      await page.locator('.banner', { hasText: 'cannot be reached' }).waitFor({ timeout: 60_000 })
    } finally {
      process.kill(hub.program.pid, 'SIGCONT')
    }
    await connected(page)
    await page.locator('.banner').waitFor({ state: 'detached' })
  }, 120_000)
})

test('in all of this the browser complained about nothing', () => {
  expect(complaints.all).toEqual([])
})
