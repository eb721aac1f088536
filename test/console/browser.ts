/** Chromium for tests of the console: Debian's, headless, with a profile of its own, and an ear for everything that it complains about. */
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { requireProgram } from '../system/requirements.ts'

export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: requireProgram('chromium'),
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

export const desktop = { width: 1440, height: 900 }
export const phone = { width: 375, height: 740 }

/** What a page complained about: errors on its console, exceptions, violations of its policy. */
export class Complaints {
  readonly all: string[] = []
  /** Those that match are expected: what a test provokes. */
  readonly #expected: RegExp[] = []

  expect(pattern: RegExp): void {
    this.#expected.push(pattern)
  }

  hear(page: Page): void {
    page.on('console', message => {
      const { url } = message.location()
      if (message.type() === 'error' || message.type() === 'warning') this.#note(`${message.text()} (${url})`)
    })
    page.on('pageerror', error => this.#note(error.stack ?? error.message))
  }

  #note(text: string): void {
    if (!this.#expected.some(pattern => pattern.test(text))) this.all.push(text)
  }
}

export interface Visit {
  readonly context: BrowserContext
  readonly page: Page
}

/** A new profile that is signed in at the hub, at an address of the console. */
export async function visit(
  browser: Browser,
  hub: { readonly url: string; readonly adminKey: string },
  address: string,
  options: BrowserContextOptions & { readonly complaints?: Complaints } = {},
): Promise<Visit> {
  const { complaints, ...contextOptions } = options
  const context = await browser.newContext({ viewport: desktop, ...contextOptions })
  const answer = await context.request.post(`${hub.url}/v1/session`, { data: { key: hub.adminKey } })
  if (!answer.ok()) throw new Error(`sign-in: ${answer.status()} ${await answer.text()}`)
  const page = await context.newPage()
  complaints?.hear(page)
  await page.goto(`${hub.url}/${address}`)
  return { context, page }
}
